//! What a collector gets by OTLP, read from the bytes that arrive.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::orders::Orders;
use crate::support::{Direction, Proxy};

/// A request of an exporter.
struct Export {
    path: String,
    head: String,
    body: Vec<u8>,
}

/// A collector that takes everything.
struct Collector {
    url: String,
    exports: Arc<Mutex<Vec<Export>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let exports = Arc::<Mutex<Vec<Export>>>::default();
        let taken = exports.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, taken) = (stream.unwrap(), taken.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Some(export) = next(&mut reader) {
                        taken.lock().unwrap().push(export);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        if reader.get_mut().write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, exports }
    }

    /// The bodies of one path.
    fn bodies(&self, path: &str) -> Vec<Vec<u8>> {
        let exports = self.exports.lock().unwrap();
        exports.iter().filter(|it| it.path == path).map(|it| it.body.clone()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.bodies("/v1/traces");
        let spans = requests.iter().flat_map(|body| messages(body, &[1, 2, 2]));
        spans.map(|span| Span::of(&span)).collect()
    }

    /// The figures of the last export, by name and the value of this label.
    fn figures(&self, label: &str) -> BTreeMap<(String, String), f64> {
        let body = self.bodies("/v1/metrics").pop().expect("an export of metrics");
        let mut figures = BTreeMap::new();
        for metric in messages(&body, &[1, 2, 2]) {
            let name = text(&messages(&metric, &[1])[0]);
            // A gauge or a sum.
            for point in [5, 7].iter().flat_map(|kind| messages(&metric, &[*kind, 1])) {
                let mut labels = attributes(&point, 7);
                let value = fixed(&point, 4).map(f64::from_bits).expect("a number");
                figures.insert((name.clone(), labels.remove(label).unwrap_or_default()), value);
            }
        }
        figures
    }
}

fn next(reader: &mut impl BufRead) -> Option<Export> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_lowercase();
    let (_, length) = lower.split_once("content-length: ")?;
    let mut body = vec![0; length.lines().next()?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    Some(Export { path, head, body })
}

/// A field of a message of protobuf, with its value: a number, or bytes.
/// See <https://protobuf.dev/programming-guides/encoding/>.
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Value)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return value;
            }
            shift += 7;
        }
    }
    fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(length);
        *bytes = rest;
        taken
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)),
            1 => Value::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                Value::Bytes(take(&mut bytes, length).to_vec())
            }
            5 => Value::Number(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()).into()),
            other => panic!("wire type {other}"),
        };
        found.push((tag >> 3, value));
    }
    found
}

/// The messages at a path of field numbers.
fn messages(bytes: &[u8], path: &[u64]) -> Vec<Vec<u8>> {
    let Some((first, rest)) = path.split_first() else { return vec![bytes.to_vec()] };
    let of_field = fields(bytes).into_iter().filter_map(|(number, value)| match value {
        Value::Bytes(bytes) if number == *first => Some(bytes),
        _ => None,
    });
    of_field.flat_map(|bytes| messages(&bytes, rest)).collect()
}

fn fixed(bytes: &[u8], number: u64) -> Option<u64> {
    fields(bytes).into_iter().find_map(|(field, value)| match value {
        Value::Number(value) if field == number => Some(value),
        _ => None,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Attributes, whatever their type, as text.
fn attributes(bytes: &[u8], number: u64) -> BTreeMap<String, String> {
    let pairs = messages(bytes, &[number]).into_iter().map(|pair| {
        let key = text(&messages(&pair, &[1])[0]);
        let value = messages(&pair, &[2]);
        let value = match fields(&value[0]).into_iter().next() {
            Some((_, Value::Bytes(bytes))) => text(&bytes),
            Some((_, Value::Number(number))) => number.to_string(),
            None => String::new(),
        };
        (key, value)
    });
    pairs.collect()
}

#[derive(Debug)]
struct Span {
    name: String,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
    attributes: BTreeMap<String, String>,
    events: Vec<String>,
}

impl Span {
    fn of(bytes: &[u8]) -> Self {
        let one = |number: u64| messages(bytes, &[number]).pop().unwrap_or_default();
        Self {
            name: text(&one(5)),
            trace: one(1),
            id: one(2),
            parent: one(4),
            attributes: attributes(bytes, 9),
            events: messages(bytes, &[11, 2]).iter().map(|name| text(name)).collect(),
        }
    }

    fn get(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }

    fn rows(&self) -> u64 {
        self.get("backfill.rows").parse().unwrap_or_else(|_| panic!("{self:?}"))
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[test]
fn a_collector_sees_the_spans_and_figures_of_a_run() {
    let (orders, collector) = (Orders::start(20_000), Collector::start());
    let proxy = Proxy::start(orders.server.port());
    proxy.after_request_with(b"-insert-").reset_at(Direction::ToServer, 10_000, 1);
    let tool = |sdk: &str| {
        let tool = orders.tool_at(&proxy.url()).env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url);
        let tool = tool.env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=hidden-key");
        // On a busy machine, the collector has as long as it needs.
        let tool = tool.env("OTEL_EXPORTER_OTLP_TIMEOUT", "120000").env("OTEL_SDK_DISABLED", sdk);
        tool.args(&["--chunk-rows", "8192", "-v", "--log-file"]).arg(orders.file("log"))
    };
    let output = tool("false").run().expect(0);
    let log = std::fs::read_to_string(orders.file("log")).unwrap();
    assert_eq!(proxy.fired(), 1, "an insert was cut off");
    let summary = orders.summary();

    let spans = collector.spans();
    let [run] = named(&spans, "run")[..] else { panic!("one run: {spans:?}") };
    assert_eq!(run.get("backfill.run_id"), summary["run_id"].as_str().unwrap());
    assert_eq!((run.get("backfill.state"), run.get("backfill.partition")), ("completed", "202506"));
    assert_eq!(run.rows(), summary["inserted_rows"].as_u64().unwrap());
    assert!(run.parent.is_empty() && spans.iter().all(|span| span.trace == run.trace), "one trace");

    // Chunks are those of the ledger, with their rows, and each is in a wave of the run.
    let chunks = named(&spans, "chunk");
    let mut found: Vec<_> = chunks.iter().map(|it| (it.get("backfill.chunk"), it.rows())).collect();
    found.sort_unstable();
    let found: Vec<_> = found.iter().map(|(chunk, rows)| format!("{chunk}\t{rows}")).collect();
    let found = found.join("\n");
    let ledger = orders.server.text(
        "SELECT toString(chunk + 1), rows_inserted FROM load_state_chunks FINAL WHERE status = 'completed' ORDER BY 1",
    );
    assert_eq!(found, ledger, "{spans:?}");
    let parent_of = |span: &Span| spans.iter().find(|other| other.id == span.parent).unwrap();
    for chunk in &chunks {
        let wave = parent_of(chunk);
        assert_eq!((wave.name.as_str(), &parent_of(wave).id), ("wave", &run.id));
    }
    let inserts = named(&spans, "insert");
    assert!(inserts.iter().all(|insert| parent_of(insert).name == "chunk"), "{spans:?}");
    assert_eq!(inserts.iter().map(|insert| insert.rows()).sum::<u64>(), run.rows());
    let retried: Vec<_> = inserts.iter().flat_map(|insert| &insert.events).collect();
    assert_eq!(retried, ["an insert failed, the same bytes are sent again"], "{spans:?}");
    for name in ["plan", "lookup"] {
        let [span] = named(&spans, name)[..] else { panic!("one {name}: {spans:?}") };
        assert_eq!(span.parent, run.id);
    }

    // The last figures are those of the ledger.
    let rows = orders
        .server
        .text("SELECT sum(rows_inserted) FROM load_state_chunks FINAL WHERE status = 'completed'");
    let figures = collector.figures("state");
    let figure = |name: &str, state: &str| {
        let key = (format!("clickhouse_backfill_{name}"), state.to_owned());
        *figures.get(&key).unwrap_or_else(|| panic!("{key:?} {figures:?}"))
    };
    assert_eq!(figure("inserted_rows_total", "").to_string(), rows);
    assert_eq!(figure("chunks", "completed"), chunks.len() as f64);
    assert_eq!(figure("progress_ratio", ""), 1.0);
    assert_eq!(figure("insert_duration_seconds_count", ""), inserts.len() as f64);

    // The key goes to the collector, and nowhere else.
    let exports = collector.exports.lock().unwrap().len();
    assert!(
        collector.exports.lock().unwrap().iter().all(|it| it.head.contains("x-key: hidden-key"))
    );
    assert!(!format!("{output}{log}").contains("hidden-key"), "{output}\n{log}");
    // Spans are not in log lines.
    assert!(!log.contains("backfill.chunk"), "{log}");

    tool("true").run().expect(0);
    assert_eq!(collector.exports.lock().unwrap().len(), exports, "it is switched off");
}

#[test]
fn a_collector_that_is_away_or_silent_costs_one_warning() {
    let orders = Orders::start(1_000);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://ann:hidden-key@{}", silent.local_addr().unwrap());
    for url in ["http://127.0.0.1:1", &silent] {
        let output = orders.tool().env("OTEL_EXPORTER_OTLP_ENDPOINT", url).run().expect(0);
        let words = "the OpenTelemetry collector does not take traces or metrics";
        assert_eq!(output.stderr.matches(words).count(), 1, "{output}");
        assert!(!output.stderr.contains("hidden-key"), "{output}");
        orders.assert_complete();
    }
    // A variable that cannot be used is named before the run, without its value.
    let tool = orders.tool().env("OTEL_EXPORTER_OTLP_ENDPOINT", "not a hidden-key");
    let output = tool.run().expect(0);
    assert!(output.stderr.starts_with("note: OpenTelemetry: "), "{output}");
    assert!(!output.stderr.contains("hidden-key"), "{output}");
}
