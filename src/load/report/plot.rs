//! Lines in an SVG, with axes that say what they are.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 36.0;
/// Colours that the colour-blind can distinguish, on light and on dark.
const COLOURS: [&str; 5] = ["#3b82c4", "#d1772b", "#2f9e6e", "#a35bb5", "#8a8a2a"];

/// A line.
pub(super) struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A plot of one or more lines.
pub(super) struct Plot<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    pub lines: Vec<Line>,
    /// Upright lines, each with a word.
    pub marks: Vec<(f64, String)>,
}

impl Plot<'_> {
    /// As an HTML figure; empty where there is nothing to show.
    pub fn figure(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        if points().count() < 2 {
            return String::new();
        }
        let x_most = step_up(points().map(|(x, _)| *x).fold(0.0, f64::max));
        let y_most = step_up(points().map(|(_, y)| *y).fold(0.0, f64::max));
        let at_x = |x: f64| LEFT + (x / x_most).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
        let at_y = |y: f64| HEIGHT - BOTTOM - y / y_most * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<figure><figcaption>{}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(self.title),
            escape(self.title)
        );
        for n in 0..=4 {
            let share = f64::from(n) / 4.0;
            let (x, y) = (at_x(x_most * share), at_y(y_most * share));
            let (low, edge) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
            // Writing to a string does not fail.
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{edge}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                short(y_most * share),
                low + 16.0,
                short(x_most * share),
            );
        }
        for (x, what) in &self.marks {
            let x = at_x(*x);
            let _ = write!(
                svg,
                "<line class=\"mark\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                HEIGHT - BOTTOM,
                x + 4.0,
                TOP + 10.0,
                escape(what)
            );
        }
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let path: Vec<String> = line
                .points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y)))
                .collect();
            let _ = write!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
                path.join(" ")
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text x=\"4\" y=\"12\">{}</text></svg><p class=\"legend\">",
            WIDTH - RIGHT,
            HEIGHT - 4.0,
            escape(self.x),
            escape(self.y)
        );
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let _ = write!(
                svg,
                "<span><svg viewBox=\"0 0 10 10\"><rect width=\"10\" height=\"10\" \
                 fill=\"{colour}\"/></svg> {}</span>",
                escape(&line.name)
            );
        }
        svg + "</p></figure>"
    }
}

/// The next number at or above that begins with 1, 2, 4 or 8.
fn step_up(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let mut step = 10_f64.powf(most.log10().floor());
    for _ in 0..4 {
        if step >= most {
            break;
        }
        step *= 2.0;
    }
    step
}

fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{} M", v / 1e6),
        v if v >= 1e4 => format!("{} k", v / 1e3),
        v if v >= 100.0 || v == 0.0 => format!("{v:.0}"),
        v => format!("{}", (v * 1000.0).round() / 1000.0),
    }
}

/// Text as text, also in an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_above_all_points() {
        for (most, end) in [
            (0.0, 1.0),
            (1.0, 1.0),
            (1.5, 2.0),
            (37.0, 40.0),
            (99.0, 160.0),
            (1000.0, 1000.0),
        ] {
            assert!(
                (step_up(most) - end).abs() < 1e-9,
                "{most}: {}",
                step_up(most)
            );
        }
    }

    #[test]
    fn words_can_not_become_markup() {
        let plot = Plot {
            title: "<script>alert(1)</script>",
            x: "\"x\"",
            y: "y&",
            lines: vec![Line {
                name: "<b>".into(),
                points: vec![(0.0, 1.0), (1.0, 2.0)],
            }],
            marks: vec![(0.5, "</svg>".into())],
        };
        let figure = plot.figure();
        assert!(!figure.contains("<script") && !figure.contains("<b>"));
        assert_eq!(figure.matches("</svg>").count(), 2);
    }
}
