//! The table as a chart: for each row a bar per contender, as long as its ratio to the floor or to Go.

use std::fmt::Write;

use crate::peers::Who;
use crate::table::{Against, Row, Unit};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 160.0;
const BAR: f64 = 13.0;
const GAP: f64 = 3.0;
const ROW_GAP: f64 = 24.0;
/// What is longer is cut, and its number says how long it is.
const LONGEST: f64 = 3.0;

/// Colours that can be told apart on light and on dark ground.
fn colour(who: Who) -> &'static str {
    match who {
        Who::Rust => "#2f81f7",
        Who::C => "#79a9f5",
        Who::Floor | Who::FloorPolling | Who::FloorYielding => "#8b949e",
        Who::FloorBeside => "#c4cad1",
        Who::Std => "#bc7a3c",
        Who::Go => "#2da44e",
        Who::Python => "#a371f7",
    }
}

pub(crate) fn draw(rows: &[Row], machine: &str) -> String {
    let mut body = String::new();
    let mut y = 74.0;
    for row in rows {
        // Numbers of things, and rows without anybody to compare with, are told better by the table.
        if row.unit == Unit::Count || row.lines.len() < 3 {
            continue;
        }
        let against = match (row.floor(), row.go()) {
            (Some(floor), _) if floor > 0.0 => Against::Floor,
            (_, Some(go)) if go > 0.0 => Against::Go,
            _ if row.is_beside_itself() => Against::Itself,
            _ => continue,
        };
        let what = match (against, row.unit.is_rate()) {
            (Against::Floor, false) => "of the floor, less is better",
            (Against::Floor, true) => "of the floor, more is better",
            (Against::Itself, _) => "of the same in a small host, less is better",
            (_, false) => "of Go, less is better",
            (_, true) => "of Go, more is better",
        };
        text(&mut body, 16.0, y, "start", "name", &row.name);
        text(&mut body, WIDTH - 16.0, y, "end", "small", what);
        y += 9.0;
        for line in &row.lines {
            let Some(ratio) = row.ratio(line, against) else {
                continue;
            };
            bar(&mut body, y, line.who, ratio);
            y += BAR + GAP;
        }
        y += ROW_GAP;
    }
    // How quiet it was does not fit.
    let facts = machine.lines().filter(|line| !line.contains(" turns "));
    let facts: Vec<&str> = facts.map(|line| line.trim_start_matches("- ")).collect();
    let one = LEFT + scale(1.0);
    let (top, bottom, height) = (58.0, y - ROW_GAP, y);
    let mut head = String::new();
    text(
        &mut head,
        16.0,
        26.0,
        "start",
        "title",
        "What it costs, by the median",
    );
    text(&mut head, 16.0, 44.0, "start", "small", &facts.join(" · "));
    // No background and colours for both grounds: it is shown on light and on dark pages.
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-label="Costs of procmgr and its alternatives">
<style>
text {{ font: 12px system-ui, sans-serif; fill: #57606a; }}
.title {{ font-size: 16px; font-weight: 600; fill: #24292f; }}
.name {{ font-weight: 600; fill: #24292f; }}
.small {{ font-size: 11px; }}
line {{ stroke: #8b949e; stroke-dasharray: 3 3; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #9da7b3; }}
.title, .name {{ fill: #e6edf3; }}
}}
</style>
{head}<line x1="{one}" x2="{one}" y1="{top}" y2="{bottom}"/>
{body}</svg>
"##
    )
}

fn scale(ratio: f64) -> f64 {
    ratio / LONGEST * (WIDTH - LEFT - 80.0)
}

fn bar(body: &mut String, y: f64, who: Who, ratio: f64) {
    let width = scale(ratio.min(LONGEST)).max(1.0);
    let base = y + BAR - 2.5;
    text(body, LEFT - 8.0, base, "end", "small", who.name());
    let _ = writeln!(
        body,
        r#"<rect x="{LEFT}" y="{y}" width="{width:.1}" height="{BAR}" rx="2" fill="{}"/>"#,
        colour(who)
    );
    let cut = if ratio > LONGEST { "→ " } else { "" };
    let number = format!("{cut}{ratio:.2}");
    text(body, LEFT + width + 6.0, base, "start", "small", &number);
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        body,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
    );
}
