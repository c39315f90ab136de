//! The page, as a browser shows it.

use serde_json::{Value, json};

use super::browser::{chromium, look};
use super::fixture::{Told, timeless};

#[test]
#[ignore = "slow: about 10 s"]
fn the_page_shows_the_figures_in_light_in_dark_and_on_paper() {
    let told = Told::start();
    let chromium = chromium();
    told.run().run().expect(1);
    let failed = told.report("html");
    assert_self_contained(&failed);
    assert!(failed.contains("&lt;script&gt;alert(2)"), "the server's words are shown");
    if let Some(chromium) = &chromium {
        assert_shown(&look(chromium, &failed), &told.figures(), "Failed: ");
    }
    told.cure();
    told.run().run().expect(0);
    told.tool("verify").run().expect(0);
    let done = told.report("html");
    assert_self_contained(&done);
    if let Some(chromium) = &chromium {
        let seen = look(chromium, &done);
        assert_shown(&seen, &told.figures(), "Completed and verified at ");
        assert_eq!(seen["pages"], 2, "of paper");
    }
}

#[track_caller]
fn assert_self_contained(html: &str) {
    for forbidden in ["<script>", " src=", "url(", "@import", "http-equiv", "javascript:"] {
        assert!(!html.contains(forbidden), "{forbidden} is in the page");
    }
    assert_eq!(html.matches("<script").count(), 1, "the figures alone");
}

#[track_caller]
fn assert_shown(seen: &Value, figures: &Value, verdict: &str) {
    assert_eq!(
        (&seen["said"], &seen["elsewhere"], &seen["paper"]),
        (&json!([]), &json!([]), &json!("%PDF-"))
    );
    for view in ["light", "dark", "print", "narrow"] {
        let view = &seen["views"][view];
        assert!(
            timeless(view["figures"].clone()) == timeless(figures.clone()),
            "the JSON in the page is not the one that is printed:\n{}\n{figures}",
            view["figures"]
        );
        assert_eq!(
            (&view["scripts"], &view["handlers"], &view["wide"], &view["clipped"]),
            (&json!(0), &json!(0), &json!(false), &json!(0))
        );
        let elements = view["elements"].as_array().unwrap();
        assert!(
            ["img", "iframe", "object", "form"].iter().all(|name| !elements.contains(&json!(name))),
            "{elements:?}"
        );
        assert_figures(view);
        assert_drawings(view, figures);
        let shown = view["shown"].as_array().unwrap();
        let text = shown.iter().find(|shown| shown["figure"] == "verdict.text").unwrap()["text"]
            .as_str()
            .unwrap();
        assert!(text.starts_with(verdict), "{text}");
    }
    let brightness = |view: &str, of: &str| {
        let color = seen["views"][view][of].as_str().unwrap();
        let parts = color.trim_start_matches("rgb(").trim_end_matches(')').split(',');
        parts.map(|part| part.trim().parse::<u32>().unwrap()).sum::<u32>() / 3
    };
    assert!(brightness("light", "background") > 230 && brightness("light", "ink") < 80);
    assert!(brightness("dark", "background") < 40 && brightness("dark", "ink") > 200);
    assert!(brightness("print", "background") == 255 && brightness("print", "ink") == 0);
    assert_eq!(
        (&seen["views"]["light"]["hidden"], &seen["views"]["print"]["hidden"]),
        (&json!(false), &json!(true))
    );
}

/// Every figure that is shown is the one of the JSON, as people read it.
#[track_caller]
fn assert_figures(view: &Value) {
    let shown = view["shown"].as_array().unwrap();
    assert!(shown.len() > 30, "{} figures", shown.len());
    for shown in shown {
        let (text, value) = (shown["text"].as_str().unwrap(), &shown["value"]);
        assert_eq!(shown["visible"], json!(!text.is_empty()), "{shown}");
        let number = || text.split(' ').next().unwrap().replace(',', "").parse::<f64>().unwrap();
        let about = |one: f64, other: f64| {
            assert!((one - other).abs() <= 0.06 + other.abs() * 0.06, "{shown}");
        };
        match shown["kind"].as_str().unwrap() {
            "count" => assert_eq!(text.replace(',', ""), value.to_string(), "{shown}"),
            "text" => assert_eq!(text, value.as_str().unwrap(), "{shown}"),
            "rate" => {
                let factor = [" rows/s", " krows/s", " Mrows/s"]
                    .iter()
                    .position(|unit| text.ends_with(unit))
                    .unwrap();
                about(
                    number(),
                    value.as_f64().unwrap() / 1000_f64.powi(i32::try_from(factor).unwrap()),
                );
            }
            "bytes" => {
                let factor = ["B", "KiB", "MiB", "GiB"]
                    .iter()
                    .position(|unit| text.ends_with(&format!(" {unit}")))
                    .unwrap();
                about(
                    number(),
                    value.as_f64().unwrap() / 1024_f64.powi(i32::try_from(factor).unwrap()),
                );
            }
            "seconds" if text.ends_with(" s") && !text.contains("min") => {
                about(number(), value.as_f64().unwrap());
            }
            "seconds" => {}
            other => panic!("{other}: {shown}"),
        }
    }
}

/// Every chunk has a cell in each map, and every point that is known is on its line.
#[track_caller]
fn assert_drawings(view: &Value, figures: &Value) {
    let chunks = figures["chunks"].as_array().unwrap().len();
    assert!(chunks > 4);
    assert_eq!(view["cells"], json!({ "duration": chunks, "retries": chunks }));
    let lines = view["lines"].as_array().unwrap();
    let fields: Vec<_> = lines.iter().map(|line| line["field"].as_str().unwrap()).collect();
    for field in [
        "rows_inserted_per_second",
        "insert_p95_seconds",
        "active_parts",
        "server_memory_bytes",
        "client_memory_bytes",
    ] {
        assert!(fields.contains(&field), "{field} is not among {fields:?}");
    }
    for line in lines {
        assert!(
            line["drawn"] == line["known"] && line["finite"] == true && line["stroke"] != "none",
            "{line}"
        );
    }
}
