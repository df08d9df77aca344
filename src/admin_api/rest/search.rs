//! `search`: a part of what a row says, as a person types it.
//!
//! Builds nothing for a row: it is asked under the lock that joins wait for.

use super::error::{ApiError, ErrorCause};
use super::params::Parameters;

/// The parameter of a search.
pub(super) const PARAMETER: &str = "search";
/// Characters of it (as many as a key's name may have).
const MAX: usize = 128;

/// The parameter of a search, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what is read below")]
pub(super) struct Asked {
    /// Only rows of which a name, an id or an address has this in it; `A` to `Z`
    /// are as `a` to `z`. Muster's own: not in the contract.
    #[param(max_length = 128)]
    search: Option<String>,
}

/// What is searched for, if anything.
#[derive(Debug, Default)]
pub(super) struct Search<'a>(&'a str);

impl<'a> Search<'a> {
    pub fn of(parameters: &'a Parameters) -> Result<Self, ApiError> {
        let text = parameters.one(PARAMETER)?.unwrap_or_default();
        if text.chars().count() > MAX {
            let rule = format!("has {MAX} characters at most");
            return Err(ErrorCause::invalid(PARAMETER, rule).into());
        }
        Ok(Self(text))
    }

    /// Whether nothing is searched for.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of a row's texts has it.
    pub fn finds(&self, texts: &[&str]) -> bool {
        let wanted = self.0.as_bytes();
        self.is_any()
            || texts.iter().any(|text| {
                let mut windows = text.as_bytes().windows(wanted.len());
                windows.any(|part| part.eq_ignore_ascii_case(wanted))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::Search;

    #[test]
    fn a_part_in_any_case_is_found() {
        let search = Search("Web-1");
        assert!(search.finds(&["x", "a.WEB-12.example"]));
        assert!(!search.finds(&["web-2", "web", ""]));
        assert!(Search("ü").finds(&["für"]) && !Search("ü").finds(&["fur"]));
        assert!(Search::default().finds(&[]));
    }
}
