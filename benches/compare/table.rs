//! The rows with their numbers, and how they are shown as text.

use std::fmt::Write;

use crate::peers::Kind;

/// The unit of the numbers of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    /// Samples are nanoseconds, and shown as microseconds.
    Time,
    /// Samples are nanoseconds for one, and shown as how many in a second.
    PerSecond,
    /// Samples are nanoseconds for so many bytes, and shown as gigabytes (10^9 bytes) in a second.
    GigabytesPerSecond { bytes: f64 },
    /// Samples are bytes, and shown as KiB.
    Kib,
    /// Samples are what they are.
    Count,
}

impl Unit {
    /// Whether more is better: then a ratio says how many times as much is done.
    pub(crate) fn is_rate(self) -> bool {
        matches!(self, Unit::PerSecond | Unit::GigabytesPerSecond { .. })
    }

    fn show(self, sample: f64) -> String {
        match self {
            Unit::Time if sample < 100_000.0 => format!("{:.2} µs", sample / 1e3),
            Unit::Time => format!("{:.0} µs", sample / 1e3),
            Unit::PerSecond => format!("{:.0} /s", 1e9 / sample),
            Unit::GigabytesPerSecond { bytes } => format!("{:.2} GB/s", bytes / sample),
            Unit::Kib => format!("{:.1} KiB", sample / 1024.0),
            Unit::Count => format!("{sample:.2}"),
        }
    }
}

/// What a goal refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    Floor,
    Go,
    /// The same contender in another setting.
    Itself,
    /// The unit of the samples.
    Nothing,
}

/// What procmgr is to reach in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) against: Against,
    /// The worst ratio that is accepted: the highest one, in a row of a rate the lowest one.
    pub(crate) bound: f64,
}

/// One contender in one row.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) kind: Kind,
    pub(crate) samples: Vec<f64>,
    /// The median of the same contender in the setting that this one is compared with.
    pub(crate) elsewhere: Option<f64>,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) goals: Vec<Goal>,
    pub(crate) lines: Vec<Line>,
}

impl Line {
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * part).round() as usize]
    }
}

impl Row {
    /// Whether each contender is compared with itself in another setting, and not with the others.
    pub(crate) fn compares_settings(&self) -> bool {
        self.lines.iter().any(|line| line.elsewhere.is_some())
    }

    /// The best of the floors is the floor.
    pub(crate) fn floor(&self) -> Option<f64> {
        if self.compares_settings() {
            return None;
        }
        let floors = self.lines.iter().filter(|line| line.kind.is_floor());
        floors.map(Line::median).min_by(f64::total_cmp)
    }

    pub(crate) fn go(&self) -> Option<f64> {
        if self.compares_settings() {
            return None;
        }
        let go = self.lines.iter().find(|line| line.kind == Kind::Go);
        go.map(Line::median)
    }

    /// The ratio of a contender to another one: of times and sizes, less is better, of rates, more.
    pub(crate) fn ratio(&self, line: &Line, against: Against) -> Option<f64> {
        let other = match against {
            Against::Floor => self.floor()?,
            Against::Go => self.go()?,
            Against::Itself => line.elsewhere?,
            Against::Nothing => 1.0,
        };
        let ratio = match self.unit.is_rate() {
            true => other / line.median(),
            false => line.median() / other,
        };
        // Zero compared with zero.
        ratio.is_finite().then_some(ratio)
    }

    /// Whether a contender reaches a goal; `None` if what the goal refers to was not measured.
    pub(crate) fn reaches(&self, line: &Line, goal: &Goal) -> Option<bool> {
        let ratio = self.ratio(line, goal.against)?;
        Some(match self.unit.is_rate() {
            true => ratio >= goal.bound,
            false => ratio <= goal.bound,
        })
    }

    fn goal(&self, goal: &Goal) -> String {
        let word = if self.unit.is_rate() { "≥" } else { "≤" };
        let bound = goal.bound;
        match goal.against {
            Against::Floor => format!("{word} {bound:.2} of the floor"),
            Against::Go => format!("{word} {bound:.2} of Go"),
            Against::Itself => format!("{word} {bound:.2} of the small host"),
            Against::Nothing => format!("{word} {}", self.unit.show(bound)),
        }
    }

    /// The goals and whether each is reached.
    fn judge(&self, line: &Line) -> String {
        if !line.kind.has_goals() {
            return String::new();
        }
        let judged = self.goals.iter().map(|goal| {
            let verdict = match self.reaches(line, goal) {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "not measured",
            };
            format!("{}: {verdict}", self.goal(goal))
        });
        judged.collect::<Vec<_>>().join("; ")
    }
}

const HEADINGS: [&str; 8] = [
    "contender",
    "10 %",
    "median",
    "99 %",
    "to the floor",
    "to Go",
    "to the small host",
    "goal",
];

/// The table as Markdown, with its columns in line so that it can be read as it is.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        render_row(&mut text, row);
    }
    text
}

pub(crate) fn render_row(text: &mut String, row: &Row) {
    let mut cells = vec![HEADINGS.map(String::from)];
    for line in &row.lines {
        let ratio = |against| {
            let ratio = row.ratio(line, against);
            ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default()
        };
        cells.push([
            line.kind.name().into(),
            // The least disturbed tenth.
            row.unit.show(line.quantile(0.1)),
            row.unit.show(line.median()),
            // The worst hundredth, in a row of a rate too, whose samples are times.
            row.unit.show(line.quantile(0.99)),
            ratio(Against::Floor),
            ratio(Against::Go),
            ratio(Against::Itself),
            row.judge(line),
        ]);
    }
    let used: Vec<usize> = (0..HEADINGS.len())
        .filter(|&column| cells[1..].iter().any(|line| !line[column].is_empty()))
        .collect();
    let width = |column: usize| cells.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let _ = writeln!(text, "### {}\n", row.name);
    for (number, line) in cells.iter().enumerate() {
        let shown = used.iter().map(|&column| {
            let (cell, width) = (&line[column], widths[column]);
            match column {
                0 | 7 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            }
        });
        let _ = writeln!(text, "| {} |", shown.collect::<Vec<_>>().join(" | "));
        if number == 0 {
            let rules = used.iter().map(|&column| match column {
                0 | 7 => "-".repeat(widths[column]),
                _ => format!("{}:", "-".repeat(widths[column] - 1)),
            });
            let _ = writeln!(text, "| {} |", rules.collect::<Vec<_>>().join(" | "));
        }
    }
    text.push('\n');
}
