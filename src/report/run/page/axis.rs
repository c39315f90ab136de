//! Axes: round values to write beside them, and how to write them.

use std::time::Duration;

use crate::progress::duration;

/// What an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    RowsPerSecond,
    Seconds,
    Count,
    Bytes,
}

impl Unit {
    /// In the corner of the axis.
    pub fn name(self) -> &'static str {
        match self {
            Self::RowsPerSecond => "rows/s",
            Self::Seconds => "seconds",
            Self::Count => "count",
            Self::Bytes => "bytes",
        }
    }

    /// As it is written beside the axis and in tooltips.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::RowsPerSecond | Self::Count => short(value),
            Self::Seconds if value >= 100.0 => format!("{value:.0}"),
            Self::Seconds => trimmed(format!("{value:.3}")),
            Self::Bytes => in_units(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"], " "),
        }
    }
}

/// `250`, `1.5k`, `12M`
fn short(value: f64) -> String {
    in_units(value, 1000.0, &["", "k", "M", "G", "T"], "")
}

fn in_units(value: f64, step: f64, units: &[&str], blank: &str) -> String {
    let mut scaled = value;
    let mut chosen = units.first().copied().unwrap_or_default();
    for unit in units {
        chosen = unit;
        if scaled < step {
            break;
        }
        if Some(unit) != units.last() {
            scaled /= step;
        }
    }
    let number =
        if scaled >= 100.0 { format!("{scaled:.0}") } else { trimmed(format!("{scaled:.1}")) };
    format!("{number}{blank}{chosen}")
}

fn trimmed(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Values from 0 on at equal distances, the last of which is not less than `most`.
pub(super) fn ticks(most: f64, unit: Unit) -> Vec<f64> {
    let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
    let whole = matches!(unit, Unit::Count | Unit::Bytes);
    // Four steps or five of 1, 2, 2.5 or 5 times a power of ten; of bytes, of a power of two.
    let raw = most / 4.0;
    let step = if unit == Unit::Bytes {
        2.0_f64.powf(raw.log2().ceil())
    } else {
        let power = 10.0_f64.powf(raw.log10().floor());
        [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= raw * 0.999)
            .unwrap_or(raw)
    };
    let step = if whole { step.ceil().max(1.0) } else { step };
    let mut ticks = vec![0.0];
    while ticks.last().is_some_and(|last| *last < most * 0.999) && ticks.len() < 12 {
        ticks.push(ticks.len() as f64 * step);
    }
    ticks
}

/// Round times within so many seconds, about six of them.
pub(super) fn time_ticks(seconds: f64) -> Vec<f64> {
    const STEPS: [f64; 22] = [
        0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
        3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0,
    ];
    let step = STEPS.into_iter().find(|step| seconds / step <= 7.0).unwrap_or(604_800.0);
    let mut ticks = Vec::new();
    while ticks.len() < 40 && ticks.len() as f64 * step <= seconds * 1.0001 {
        ticks.push(ticks.len() as f64 * step);
    }
    ticks
}

/// `0`, `30 s`, `1:30 min`, `2:15 h`, `3 h`
pub(super) fn time_text(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times of a run, never negative"
    )]
    let whole = seconds.round() as u64;
    match whole {
        0 if seconds == 0.0 => "0".to_owned(),
        _ if seconds < 60.0 => format!("{} s", trimmed(format!("{seconds:.1}"))),
        60..3600 if whole.is_multiple_of(60) => format!("{} min", whole / 60),
        60..3600 => format!("{}:{:02} min", whole / 60, whole % 60),
        3600..172_800 if whole.is_multiple_of(3600) => format!("{} h", whole / 3600),
        3600..172_800 => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
        _ => duration(Duration::from_secs(whole)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beside_an_axis_are_round_and_reach_the_greatest() {
        assert_eq!(
            ticks(83_000.0, Unit::RowsPerSecond),
            [0.0, 25_000.0, 50_000.0, 75_000.0, 100_000.0]
        );
        assert_eq!(ticks(3.0, Unit::Count), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(ticks(0.0, Unit::Count), [0.0, 1.0]);
        let gib = f64::from(1 << 30);
        assert_eq!(
            ticks(1.9 * gib, Unit::Bytes).last().map(|last| Unit::Bytes.text(*last)),
            Some("2 GiB".to_owned())
        );
        for most in [1e-4, 0.3, 1.0, 7.7, 999.0, 12_345.0, 8.8e9, 3.3e12] {
            for unit in [Unit::RowsPerSecond, Unit::Seconds, Unit::Count, Unit::Bytes] {
                let ticks = ticks(most, unit);
                assert!(
                    ticks.len() >= 2 && ticks.len() <= 8 && ticks.last() >= Some(&(most * 0.99)),
                    "{most} {unit:?} {ticks:?}"
                );
            }
        }
    }

    #[test]
    fn values_are_written_shortly() {
        let rows = |value| Unit::RowsPerSecond.text(value);
        assert_eq!(
            [rows(0.0), rows(250.0), rows(1500.0), rows(25_000.0), rows(1.2e6)],
            ["0", "250", "1.5k", "25k", "1.2M"]
        );
        assert_eq!(
            [Unit::Seconds.text(0.025), Unit::Seconds.text(2.0), Unit::Bytes.text(512.0)],
            ["0.025", "2", "512 B"]
        );
        assert_eq!(time_ticks(59.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        let times: Vec<_> = [0.0, 0.5, 30.0, 90.0, 8100.0].map(time_text).into();
        assert_eq!(times, ["0", "0.5 s", "30 s", "1:30 min", "2:15 h"]);
    }
}
