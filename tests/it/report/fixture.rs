//! A load whose names and errors mean something in HTML and Markdown, and its report.

use serde_json::Value;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Binary, Server, binary};

/// The job's name.
pub const NAME: &str = "ship's <script>alert(1)</script> & \"more\" | *stars*";

/// What makes one chunk fail, and is quoted in the server's words.
pub const POISON: &str = "<script>alert(2)</script> & \"poison\"";

/// Orders in several chunks, one of which cannot be done.
pub struct Told {
    pub orders: Orders,
}

impl Told {
    pub fn start() -> Self {
        let orders = Orders::on(Server::shared(), 60_000);
        orders.server.query(&format!("INSERT INTO orders SELECT id, customer, placed, amount, 7, 0, '{POISON}' FROM orders WHERE id = 31"));
        Self { orders }
    }

    pub fn tool(&self, command: &str) -> Binary {
        let expression =
            "\"source.amount * if(source.note LIKE '<script>%', toInt64(source.note), 2)\"";
        let job = JOB
            .replace("name = \"shipments\"", &format!("name = '''{NAME}'''"))
            .replace("\"source.amount * 2\"", expression);
        let tool = binary().file("job.toml", &job).envs(&self.orders.server.environment());
        tool.args(&[command, "--job", "job.toml", "--partition", PARTITION])
    }

    pub fn run(&self) -> Binary {
        self.tool("run").args(&[
            "--chunk-rows",
            "8192",
            "--batch-size",
            "3000",
            "--max-retries",
            "0",
        ])
    }

    /// Takes the poison out.
    pub fn cure(&self) {
        self.orders.server.query("INSERT INTO orders SELECT id, customer, placed, amount, 8, 0, 'cured' FROM orders WHERE id = 31 LIMIT 1");
    }

    /// A report in this form.
    pub fn report(&self, form: &str) -> String {
        self.tool("report").args(&["--format", form]).run().expect(0).stdout
    }

    /// The figures.
    pub fn figures(&self) -> Value {
        serde_json::from_str(&self.report("json")).unwrap()
    }
}

/// The same without the time at which it was made, and with numbers as every reader has them: 0 is
/// 0.0.
pub fn timeless(mut figures: Value) -> Value {
    figures["reported_at"] = Value::Null;
    plain(figures)
}

fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(values) => values.into_iter().map(plain).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, plain(value))).collect()
        }
        other => other,
    }
}
