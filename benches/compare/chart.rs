//! Some rows as a chart: for each row a bar per contender, as long as its ratio to the floor or to Go.

use std::fmt::Write;

use crate::peers::Kind;
use crate::rows::PANELS;
use crate::table::{Against, Row};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 190.0;
const BAR: f64 = 13.0;
const GAP: f64 = 3.0;
const ROW_GAP: f64 = 24.0;
/// A longer bar is cut, and its number says how long it is.
const LONGEST: f64 = 3.0;

/// Colours that differ visibly on light and on dark pages.
fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Rust => "#2f81f7",
        Kind::C => "#79a9f5",
        Kind::Refused => "#b6c9ea",
        Kind::GoPackage => "#57ab9a",
        Kind::Floor | Kind::FloorYielding => "#8b949e",
        Kind::Std => "#bc7a3c",
        Kind::Go => "#2da44e",
        Kind::Python => "#a371f7",
    }
}

pub(crate) fn draw(rows: &[Row], machine: &str) -> String {
    let mut body = String::new();
    let mut y = 74.0;
    for row in rows {
        if !PANELS.contains(&row.name.as_str()) {
            continue;
        }
        let against = match (row.floor(), row.go()) {
            (Some(floor), _) if floor > 0.0 => Against::Floor,
            (_, Some(go)) if go > 0.0 => Against::Go,
            _ => continue,
        };
        let what = match (against, row.unit.is_rate()) {
            (Against::Floor, false) => "of the floor, less is better",
            (Against::Floor, true) => "of the floor, more is better",
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
            bar(&mut body, y, line.kind, ratio);
            y += BAR + GAP;
        }
        y += ROW_GAP;
    }
    // There is no room for the number of disturbed turns.
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
    // No background, and text colours for both: it is shown on light and on dark pages.
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

fn bar(body: &mut String, y: f64, kind: Kind, ratio: f64) {
    let width = scale(ratio.min(LONGEST)).max(1.0);
    let base = y + BAR - 2.5;
    text(body, LEFT - 8.0, base, "end", "small", kind.name());
    let _ = writeln!(
        body,
        r#"<rect x="{LEFT}" y="{y}" width="{width:.1}" height="{BAR}" rx="2" fill="{}"/>"#,
        colour(kind)
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
