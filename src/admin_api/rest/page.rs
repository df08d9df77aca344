//! Pages as the contract has them: by position, and all at once up to a bound.

use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorCause};
use super::params::Parameters;

/// Rows of a page when nothing is said.
const DEFAULT_LIMIT: usize = 100;
/// Rows of a page at most.
const MAX_LIMIT: usize = 1_000;
/// Rows of an answer that is not in pages at most (the contract's number).
const MAX_WHOLE: usize = 3_000;

/// The parameters of a page.
pub(super) const PARAMETERS: [&str; 3] = ["paginated", "limit", "offset"];

/// The parameters of a page, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Page::of` reads")]
pub(super) struct Asked {
    /// False: all rows at once, 3,000 at most.
    paginated: Option<bool>,
    /// Rows of the page; 0: the counts alone.
    #[param(minimum = 0, maximum = 1000)]
    limit: Option<u64>,
    /// The position of the first row, from 1.
    #[param(minimum = 1)]
    offset: Option<u64>,
}

/// Which rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    limit: usize,
    /// From 1.
    offset: usize,
}

impl Page {
    pub fn of(parameters: &Parameters) -> Result<Self, ApiError> {
        let limit = parameters.number("limit", 0)?;
        let offset = parameters.number("offset", 1)?;
        if parameters.flag("paginated")? == Some(false) {
            for (name, given) in [("limit", limit), ("offset", offset)] {
                if given.is_some() {
                    return Err(ErrorCause::invalid(name, "goes with paginated=true alone").into());
                }
            }
            return Ok(Self {
                limit: MAX_WHOLE,
                offset: 1,
            });
        }
        if limit.is_some_and(|limit| limit > MAX_LIMIT) {
            return Err(ErrorCause::invalid("limit", format!("must be 0 to {MAX_LIMIT}")).into());
        }
        Ok(Self {
            limit: limit.unwrap_or(DEFAULT_LIMIT),
            offset: offset.unwrap_or(1),
        })
    }

    /// How many rows come before it, by its number.
    pub fn start(self) -> usize {
        self.offset - 1
    }

    /// Rows at most.
    pub fn limit(self) -> usize {
        self.limit
    }

    /// Not all rows at once.
    pub fn is_one_of_many(self) -> bool {
        self.limit != MAX_WHOLE
    }

    /// A page whose rows, of `count` that the filters left of `total`, come after
    /// `before` others.
    pub fn rows<T>(
        self,
        total: usize,
        count: usize,
        before: usize,
        items: Vec<T>,
        next_page_token: Option<String>,
    ) -> Rows<T> {
        Rows {
            total,
            count,
            start_index: before.saturating_add(1),
            items_per_page: items.len(),
            items,
            next_page_token,
        }
    }

    /// The rows of this page, of `found` that the filters left of `total`; without
    /// those that are gone when they are to be shown.
    pub fn cut<T, U>(self, total: usize, found: Vec<T>, show: impl Fn(T) -> Option<U>) -> Rows<U> {
        let count = found.len();
        let rows = found.into_iter().skip(self.offset - 1).take(self.limit);
        let items: Vec<U> = rows.filter_map(show).collect();
        self.rows(total, count, self.start(), items, None)
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rows<T> {
    /// All rows there are, whatever the filters.
    total: usize,
    /// The rows that the filters leave.
    count: usize,
    /// The position of this page's first row among those, from 1.
    start_index: usize,
    /// Rows on this page.
    items_per_page: usize,
    /// The rows.
    items: Vec<T>,
    /// Where the next page begins, for `page_token`; left out on the last page, and
    /// by lists that have no such places.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[cfg(test)]
impl<T> Rows<T> {
    pub fn items(&self) -> &[T] {
        &self.items
    }

    pub fn token(&self) -> Option<&str> {
        self.next_page_token.as_deref()
    }
}
