//! The two formats of `/metrics`, and which of them was asked for.

/// OpenMetrics 1.0.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Prometheus's own.
pub(super) const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether an `Accept` header asks for OpenMetrics: named, and liked no less than the
/// plain format, which everybody else gets.
pub(super) fn wants_open_metrics(accept: &str) -> bool {
    let quality = |named: &[&str]| {
        let ranges = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next()?.to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            named
                .contains(&kind.as_str())
                .then(|| quality.unwrap_or(1.0))
        });
        ranges.fold(0.0, f32::max)
    };
    let open = quality(&["application/openmetrics-text"]);
    open > 0.0 && open >= quality(&["text/plain"])
}

/// The plain format of an OpenMetrics page: there, a counter is called as its samples
/// are, and units and the end are not told.
pub(super) fn plain(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, words)| words);
            continue;
        }
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let (suffix, kind) = match kind {
            "counter" => ("_total", kind),
            "unknown" => ("", "untyped"),
            _ => ("", kind),
        };
        if let Some(words) = help.take() {
            text += &format!("# HELP {name}{suffix} {words}\n");
        }
        text += &format!("# TYPE {name}{suffix} {kind}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gets_the_format_that_it_asks_for() {
        for plain in [
            "",
            "*/*",
            "text/plain;version=0.0.4",
            "text/plain;version=0.0.4;q=1,application/openmetrics-text;q=0.5",
            "application/openmetrics-text;q=0",
        ] {
            assert!(!wants_open_metrics(plain), "{plain}");
        }
        // As Prometheus 2 and 3 ask.
        for open in [
            "application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
             q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ] {
            assert!(wants_open_metrics(open), "{open}");
        }
    }

    #[test]
    fn a_counter_is_called_as_its_samples() {
        let page = "# HELP m_joins Joins.\n# TYPE m_joins counter\nm_joins_total 1\n\
                    # HELP m_s Time.\n# TYPE m_s histogram\n# UNIT m_s seconds\n\
                    m_s_sum 1.0\n# EOF\n";
        assert_eq!(
            plain(page),
            "# HELP m_joins_total Joins.\n# TYPE m_joins_total counter\nm_joins_total 1\n\
             # HELP m_s Time.\n# TYPE m_s histogram\nm_s_sum 1.0\n"
        );
    }
}
