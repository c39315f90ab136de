//! Values of flags: formats of results, rows, sizes, shares, addresses and hooks.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::job::Moment;
use crate::units::{self, parse_count};
use crate::verify::Share;

/// The format of a result.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct FormatArguments {
    /// Format of the result on stdout.
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: ResultFormat,
    /// Short for `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl FormatArguments {
    /// Whether the result is printed as JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json || self.format == ResultFormat::Json
    }
}

/// The format of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ResultFormat {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

/// A number of concurrent tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtOnce {
    /// Adapted during the run.
    Auto,
    /// A fixed number.
    Fixed(u16),
}

/// `auto`, or 1 to 256.
pub(crate) fn parse_at_once(text: &str) -> Result<AtOnce, String> {
    match text {
        "auto" => Ok(AtOnce::Auto),
        _ => match text.parse::<u16>() {
            Ok(number @ 1..=256) => Ok(AtOnce::Fixed(number)),
            _ => Err("it must be auto, or a number from 1 to 256".to_owned()),
        },
    }
}

/// A number of rows, at least 1, such as `100000`, `100_000` or `100k`.
pub(crate) fn parse_rows(text: &str) -> Result<u64, String> {
    match parse_count(text) {
        Some(0) => Err("it must be at least 1".to_owned()),
        Some(rows) => Ok(rows),
        None => Err("it must be a whole number of rows, such as 100000 or 100k".to_owned()),
    }
}

/// A percentage, such as `50%` or `50`.
pub(crate) fn parse_percent(text: &str) -> Result<u8, String> {
    units::parse_percent(text)
        .ok_or_else(|| "it must be a percentage from 1% to 100%, such as 50%".to_owned())
}

/// A size in memory: a number with `B`, `KiB`, `MiB`, `GiB` or `TiB`; bytes without a unit. At
/// least 64 KiB.
pub(crate) fn parse_memory_size(text: &str) -> Result<u64, String> {
    const SMALLEST: u64 = 64 * 1024;
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split).unwrap_or((text, ""));
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err("it must be a size such as 128MiB or 2GiB".to_owned()),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match bytes {
        None => Err("it must be a size such as 128MiB or 2GiB".to_owned()),
        Some(bytes) if bytes < SMALLEST => Err("it must be at least 64KiB".to_owned()),
        Some(bytes) => Ok(bytes),
    }
}

/// `1/100`, `1%` or `0.5%`
pub(crate) fn parse_share(text: &str) -> Result<Share, String> {
    let wrong = || "it must be a share such as 1/100 or 1%".to_owned();
    let (parts, of) = if let Some(percent) = text.trim().strip_suffix('%') {
        hundredths(percent.trim_end()).ok_or_else(wrong)?
    } else {
        let (parts, of) = text.split_once('/').ok_or_else(wrong)?;
        (parts.trim().parse().map_err(|_| wrong())?, of.trim().parse().map_err(|_| wrong())?)
    };
    let share = Share { parts, of };
    if share.parts == 0 || share.parts > share.of { Err(wrong()) } else { Ok(share) }
}

/// A percentage as a fraction in lowest terms.
fn hundredths(percent: &str) -> Option<(u32, u32)> {
    let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
    let digits = [whole, fraction].concat();
    if whole.is_empty() || fraction.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let parts: u32 = digits.parse().ok()?;
    let of = 100 * 10_u32.pow(u32::try_from(fraction.len()).ok()?);
    let (mut divisor, mut rest) = (of, parts);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    Some((parts / divisor, of / divisor))
}

/// An address with a port, or a port alone, which then is for this machine only.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let wrong =
        || "it must be an address with a port, such as 127.0.0.1:9464, or a port".to_owned();
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| wrong())
}

/// A moment as in ISO 8601.
pub(crate) fn parse_moment(text: &str) -> Result<Moment, String> {
    Moment::parse(text.trim())
}

/// A setting of `ctl set` and its value.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    let pair =
        text.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    pair.filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| "give a setting and its value, such as inserters=4".to_owned())
}

/// A column of the source and the column of the lookup that it finds.
pub(crate) fn parse_join(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').map(|(source, lookup)| (source.trim(), lookup.trim())) {
        Some((source, lookup)) if !source.is_empty() && !lookup.is_empty() => {
            Ok((source.to_owned(), lookup.to_owned()))
        }
        _ => {
            Err("give a column of the source and one of the lookup, such as user_id=id".to_owned())
        }
    }
}

/// A command, and when it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub event: Event,
    pub command: String,
}

/// When hooks are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A run has been planned and begins to move rows.
    Start,
    /// A run has failed, or was refused.
    Failure,
    /// A run has ended, however.
    Finish,
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Start => "on-start",
            Self::Failure => "on-failure",
            Self::Finish => "on-finish",
        })
    }
}

impl FromStr for Hook {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it must be on-start=CMD, on-failure=CMD or on-finish=CMD".to_owned();
        let (event, command) = text.split_once('=').ok_or_else(wrong)?;
        let events = [Event::Start, Event::Failure, Event::Finish];
        let event =
            events.into_iter().find(|known| known.to_string() == event.trim()).ok_or_else(wrong)?;
        if command.trim().is_empty() {
            return Err(wrong());
        }
        Ok(Self { event, command: command.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        assert_eq!(["100_000", "100k"].map(parse_rows), [Ok(100_000), Ok(100_000)]);
        for text in ["0", "", "-1", "1.5", "many"] {
            assert!(parse_rows(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_at_once() {
        assert_eq!(
            (parse_at_once("auto"), parse_at_once("3")),
            (Ok(AtOnce::Auto), Ok(AtOnce::Fixed(3)))
        );
        for text in ["", "0", "257", "-1", "some"] {
            assert!(parse_at_once(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_memory_size("128MiB"), Ok(128 << 20));
        assert_eq!(parse_memory_size("2 gib"), Ok(2 << 30));
        assert_eq!(parse_memory_size("70000"), Ok(70_000));
        assert_eq!(parse_memory_size("5GB"), Ok(5_000_000_000));
        for text in [
            "",
            "0",
            "1KiB",
            "MiB",
            "12 apples",
            "99999999999999999999GiB",
            "18446744073709551615TiB",
            "1.5GiB",
        ] {
            assert!(parse_memory_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares() {
        for text in ["1/100", "1%", "1 %", "1.00%"] {
            assert_eq!(parse_share(text), Ok(Share { parts: 1, of: 100 }), "{text}");
        }
        assert_eq!(parse_share("0.05%"), Ok(Share { parts: 1, of: 2000 }));
        assert_eq!(parse_share("100%"), Ok(Share { parts: 1, of: 1 }));
        for text in [
            "", "1", "0%", "%", "101%", "-1%", "1.2.3%", ".5%", "0.00001%", "0/5", "6/5", "1/0",
            "a/b", "0.5",
        ] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_of_this_machine_unless_they_say_otherwise() {
        let parsed = |text| parse_address(text).map(|address| address.to_string());
        for text in ["9464", ":9464", "localhost:9464", "127.0.0.1:9464"] {
            assert_eq!(parsed(text).as_deref(), Ok("127.0.0.1:9464"), "{text}");
        }
        assert_eq!(parsed("0.0.0.0:1").as_deref(), Ok("0.0.0.0:1"));
        assert_eq!(parsed("[::1]:9464").as_deref(), Ok("[::1]:9464"));
        for text in ["", ":", "host:9464", "127.0.0.1", "65536", "-1", "localhost:"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hooks_are_an_event_and_a_command() {
        let hook = "on-finish=curl -d @- https://pager.example/?a=b".parse::<Hook>().unwrap();
        assert_eq!(
            (hook.event, hook.command.as_str()),
            (Event::Finish, "curl -d @- https://pager.example/?a=b")
        );
        for text in ["", "on-finish", "on-finish=", "on-finish= ", "finish=x", "on-end=x", "=x"] {
            assert!(text.parse::<Hook>().is_err(), "{text:?}");
        }
    }
}
