//! Figures over time, as lines in SVG.

use std::fmt::Write;

use maud::{Markup, html};

use super::axis::{Unit, ticks, time_text, time_ticks};
use crate::report::run::CoursePoint;

const HEIGHT: f64 = 210.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 26.0;

/// A figure of each point; what is not known leaves a gap.
pub(super) struct Series {
    pub name: &'static str,
    /// The field of the JSON.
    pub field: &'static str,
    pub value: fn(&CoursePoint) -> Option<f64>,
}

/// Lines that share an axis.
pub(super) struct Chart {
    pub title: &'static str,
    pub unit: Unit,
    /// Of the drawing, in its own units; text is 11 of them high.
    pub width: f64,
    pub series: &'static [Series],
}

impl Chart {
    /// The figure; `None` where nothing is known of it.
    pub fn draw(&self, course: &[CoursePoint]) -> Option<Markup> {
        let values =
            || self.series.iter().flat_map(|series| course.iter().filter_map(series.value));
        let most = values().reduce(f64::max)?;
        let (ticks, last) =
            (ticks(most, self.unit), course.last().map_or(0.0, |point| point.seconds).max(0.001));
        let top = ticks.last().copied().unwrap_or(1.0);
        let x = |seconds: f64| LEFT + seconds / last * (self.width - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP);
        Some(html! {
            figure.chart {
                figcaption {
                    span.name { (self.title) }
                    @for (number, series) in self.series.iter().enumerate() {
                        span.key {
                            svg.swatch viewBox="0 0 22 8" aria-hidden="true" { path class={ "line s" (number + 1) } d="M0 4H22" {} }
                            (series.name)
                        }
                    }
                }
                svg viewBox={ "0 0 " (self.width) " " (HEIGHT) } role="img" aria-label=(self.title) {
                    text.unit x=(LEFT - 8.0) y="10" text-anchor="end" { (self.unit.name()) }
                    @for tick in &ticks {
                        line.grid x1=(LEFT) x2=(self.width - RIGHT) y1=(place(y(*tick))) y2=(place(y(*tick))) {}
                        text.tick x=(LEFT - 8.0) y=(place(y(*tick) + 3.5)) text-anchor="end" { (self.unit.text(*tick)) }
                    }
                    @for tick in time_ticks(last) {
                        line.mark x1=(place(x(tick))) x2=(place(x(tick))) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM + 4.0) {}
                        text.tick x=(place(x(tick))) y=(HEIGHT - BOTTOM + 17.0) text-anchor="middle" { (time_text(tick)) }
                    }
                    @for (from, to, reason) in waits(course) {
                        rect.wait x=(place(x(from))) y=(TOP) width=(place((x(to) - x(from)).max(2.0))) height=(HEIGHT - BOTTOM - TOP) {
                            title { "waiting: " (reason) }
                        }
                    }
                    @for point in course.iter().filter(|point| point.resumed) {
                        line.resumed x1=(place(x(point.seconds))) x2=(place(x(point.seconds))) y1=(TOP) y2=(HEIGHT - BOTTOM) { title { "resumed here" } }
                    }
                    @for (number, series) in self.series.iter().enumerate() {
                        (line(series, number, course, &x, &y))
                    }
                    @for (from, to, point) in columns(course, last) {
                        rect.hover x=(place(x(from))) y=(TOP) width=(place(x(to) - x(from))) height=(HEIGHT - BOTTOM - TOP) {
                            title { (self.words(point)) }
                        }
                    }
                }
            }
        })
    }

    /// What a tooltip says.
    fn words(&self, point: &CoursePoint) -> String {
        let mut text = time_text(point.seconds);
        for series in self.series {
            if let Some(value) = (series.value)(point) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\n{}: {}", series.name, self.unit.text(value));
                if self.unit != Unit::Bytes && self.unit != Unit::Count {
                    let _ = write!(
                        text,
                        " {}",
                        if self.unit == Unit::Seconds { "s" } else { self.unit.name() }
                    );
                }
            }
        }
        if !point.waiting.is_empty() {
            let _ = write!(text, "\nwaiting: {}", point.waiting);
        }
        text
    }
}

fn line(
    series: &Series,
    number: usize,
    course: &[CoursePoint],
    x: &dyn Fn(f64) -> f64,
    y: &dyn Fn(f64) -> f64,
) -> Markup {
    let (mut path, mut points, mut drawn, mut alone) = (String::new(), 0, false, Vec::new());
    let mut run = Vec::new();
    for point in course.iter().map(Some).chain([None]) {
        let value = point.and_then(|point| Some((point, (series.value)(point)?)));
        if value.is_none() || point.is_some_and(|point| point.resumed) {
            if let [only] = run.as_slice() {
                alone.push(*only);
            }
            run.clear();
            drawn = false;
        }
        let Some((point, value)) = value else { continue };
        let (px, py) = (place(x(point.seconds)), place(y(value)));
        // Writing to a string cannot fail.
        let _ = write!(path, "{}{px} {py}", if drawn { "L" } else { "M" });
        run.push((px, py));
        (drawn, points) = (true, points + 1);
    }
    html! {
        path class={ "line s" (number + 1) } d=(path) data-field=(series.field) data-points=(points) {}
        // A path of one point has no length.
        @for (px, py) in alone {
            circle class={ "dot s" (number + 1) } cx=(px) cy=(py) r="2.5" {}
        }
    }
}

/// The spans of time in which no chunk was started, with the first reason.
fn waits(course: &[CoursePoint]) -> Vec<(f64, f64, &str)> {
    let mut waits: Vec<(f64, f64, &str)> = Vec::new();
    let mut open = false;
    for point in course {
        if open && let Some((_, to, _)) = waits.last_mut() {
            *to = point.seconds;
        }
        if point.waiting.is_empty() {
            open = false;
        } else if !open {
            waits.push((point.seconds, point.seconds, &point.waiting));
            open = true;
        }
    }
    waits
}

/// Which part of the width belongs to each point.
fn columns(course: &[CoursePoint], last: f64) -> Vec<(f64, f64, &CoursePoint)> {
    let middle = |one: Option<&CoursePoint>, other: Option<&CoursePoint>| {
        Some(f64::midpoint(one?.seconds, other?.seconds))
    };
    let of = |(place, point): (usize, _)| {
        let before = place.checked_sub(1).and_then(|before| course.get(before));
        (
            middle(before, Some(point)).unwrap_or(0.0),
            middle(Some(point), course.get(place + 1)).unwrap_or(last),
            point,
        )
    };
    course.iter().enumerate().map(of).collect()
}

/// A tenth of a unit is less than can be seen.
fn place(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
