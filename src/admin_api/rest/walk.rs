//! A walk through a list that sorts: pages that neither miss nor repeat a row
//! that is there throughout, whatever comes and goes meanwhile.
//!
//! Owns: the order of rows to the last one, and the token of the place where a
//! page ended. Must not know: what the rows are, where they come from.
//! Invariant: a page after a token begins after a place, not at a number; a token
//! is good for the list, the filters and the order that it was given out with, on
//! any gateway, for ever.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{ApiError, ErrorCause};
use super::filter::Order;
use super::page::{Page, Rows};
use super::params::Parameters;
use crate::admin_api::page_token::PageTokens;

/// All parameters of such a list.
pub(super) const PARAMETERS: [&str; 9] = [
    "paginated",
    "limit",
    "offset",
    "page_token",
    "filter_fields",
    "filter_ops",
    "filter_values",
    "sort_fields",
    "sort_dir",
];
/// Those that say which page it is, not of what.
pub(super) const OF_PAGE: [&str; 4] = ["paginated", "limit", "offset", "page_token"];

/// The parameter of a walk, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Walk::of` reads")]
pub(super) struct Asked {
    /// The `next_page_token` of the page before, with the same filters and the
    /// same order: goes on after its last row, also if rows before it are gone.
    page_token: Option<String>,
}

/// A row and its place: what it sorts by, and its id, which no other row has.
pub(super) struct Ranked<'a, I, T> {
    pub by: Vec<Cow<'a, str>>,
    pub id: I,
    pub row: T,
}

/// Where a page ended.
#[derive(Serialize, Deserialize)]
struct Place<I> {
    by: Vec<String>,
    id: I,
}

/// Which page is asked for, of rows in which order.
pub(super) struct Walk<F, I> {
    page: Page,
    order: Order<F>,
    after: Option<Place<I>>,
    /// Of the list, the filters and the order.
    tokens: PageTokens,
}

impl<F: Copy, I: Ord + Serialize + DeserializeOwned> Walk<F, I> {
    /// The page of a request, of the list that is called `list`.
    pub fn of(list: &str, parameters: &Parameters, order: Order<F>) -> Result<Self, ApiError> {
        let page = Page::of(parameters)?;
        let of_list = parameters
            .but(&OF_PAGE)
            .flat_map(|(name, value)| [name, value]);
        let tokens = PageTokens::of([list].into_iter().chain(of_list));
        let mut walk = Self {
            page,
            order,
            after: None,
            tokens,
        };
        if let Some(token) = parameters.one("page_token")? {
            for other in ["offset", "paginated"] {
                if parameters.one(other)?.is_some() {
                    let rule = format!("goes without {other}");
                    return Err(ErrorCause::invalid("page_token", rule).into());
                }
            }
            let rule = "not one that this list gave out with these filters and this order; \
                        leave it out for the first page";
            let place = walk.tokens.place(token);
            let place = place.filter(|place: &Place<I>| place.by.len() == walk.order.len());
            walk.after = Some(place.ok_or_else(|| ErrorCause::invalid("page_token", rule))?);
        }
        Ok(walk)
    }

    /// What a row sorts by; `value` reads one of its fields.
    pub fn ranks<'a>(&self, value: impl Fn(F) -> Cow<'a, str>) -> Vec<Cow<'a, str>> {
        self.order.fields().map(value).collect()
    }

    /// The rows of this page, of `found` that the filters left of `total`.
    pub fn cut<T, U>(
        &self,
        total: usize,
        mut found: Vec<Ranked<'_, I, T>>,
        show: impl Fn(T) -> U,
    ) -> Rows<U> {
        let count = found.len();
        let start = match &self.after {
            Some(place) => {
                let is_before = |row: &&Ranked<'_, I, T>| {
                    self.compare(row, &place.by, &place.id) != Ordering::Greater
                };
                found.iter().filter(is_before).count()
            }
            None => self.page.start(),
        };
        let end = start.saturating_add(self.page.limit()).min(count);
        let mut rows = Vec::new();
        let mut next_page_token = None;
        if start < end {
            // The rows of other pages are left in disorder: of a long list they
            // are most.
            let order = |one: &Ranked<'_, I, T>, other: &Ranked<'_, I, T>| {
                self.compare(one, &other.by, &other.id)
            };
            if start > 0 {
                found.select_nth_unstable_by(start, order);
            }
            let rest = &mut found[start..];
            if end < count {
                rest.select_nth_unstable_by(end - start, order);
            }
            rest[..end - start].sort_unstable_by(order);
            let more = end < count && self.page.is_one_of_many();
            next_page_token = found
                .get(end - 1)
                .filter(|_| more)
                .map(|last| self.token(last));
            found.truncate(end);
            rows.extend(found.drain(start..).map(|ranked| show(ranked.row)));
        }
        self.page.rows(total, count, start, rows, next_page_token)
    }

    /// Whether the rows are asked for in the order of their ids.
    pub fn is_by_id(&self) -> bool {
        self.order.len() == 0
    }

    /// The rows of this page of a list that is whole and in the order of its ids:
    /// what a page shows is all that is looked at.
    pub fn cut_by_id<T, U>(
        &self,
        total: usize,
        rows: impl Iterator<Item = (I, T)> + Clone,
        show: impl Fn(T) -> U,
    ) -> Rows<U> {
        let start = match &self.after {
            Some(place) => rows.clone().take_while(|(id, _)| *id <= place.id).count(),
            None => self.page.start(),
        };
        let limit = self.page.limit();
        let mut shown = Vec::new();
        let mut last = None;
        for (id, row) in rows.skip(start).take(limit) {
            shown.push(show(row));
            last = Some(id);
        }
        let more = start.saturating_add(limit) < total && self.page.is_one_of_many();
        let next_page_token = last.filter(|_| more).map(|id| {
            self.tokens.token(&Place {
                by: Vec::new(),
                id: &id,
            })
        });
        self.page.rows(total, total, start, shown, next_page_token)
    }

    fn compare<T>(
        &self,
        row: &Ranked<'_, I, T>,
        by: &[impl Deref<Target = str>],
        id: &I,
    ) -> Ordering {
        let ranks = row
            .by
            .iter()
            .zip(by)
            .map(|(one, other)| (**one).cmp(&**other));
        let ranks = ranks.fold(Ordering::Equal, Ordering::then);
        self.order.directed(ranks).then_with(|| row.id.cmp(id))
    }

    fn token<T>(&self, last: &Ranked<'_, I, T>) -> String {
        self.tokens.token(&Place {
            by: last.by.iter().map(|value| value.to_string()).collect(),
            id: &last.id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static str, u32);

    fn page(query: &[(&str, &str)], rows: &[Row]) -> Result<Rows<u32>, ApiError> {
        let parameters = Parameters::of(query);
        let order = Order::of(&parameters, |name| (name == "name").then_some(()), "name")?;
        let walk: Walk<(), u32> = Walk::of("list", &parameters, order)?;
        let ranked = |(name, id): &'static Row| -> Ranked<'static, u32, u32> {
            Ranked {
                by: walk.ranks(|()| Cow::Borrowed(*name)),
                id: *id,
                row: *id,
            }
        };
        let leaked: &'static [Row] = Vec::leak(rows.to_vec());
        let ranked = leaked.iter().map(ranked).collect();
        Ok(walk.cut(rows.len(), ranked, |id| id))
    }

    #[test]
    fn a_page_goes_on_after_a_place_though_rows_before_it_are_gone() {
        let rows = [("b", 1), ("a", 2), ("b", 3), ("c", 4), ("a", 5)];
        for (direction, order) in [
            ("Ascending", [2, 5, 1, 3, 4]),
            ("Descending", [4, 1, 3, 2, 5]),
        ] {
            let sorted = [
                ("sort_fields", "name"),
                ("sort_dir", direction),
                ("limit", "2"),
            ];
            let first = page(&sorted, &rows).unwrap();
            assert_eq!(first.items(), &order[..2]);
            let token = first.token().unwrap().to_owned();
            let mut next = sorted.to_vec();
            next.push(("page_token", &token));
            // The page's last row, and the one before it, are gone; one came before.
            let mut left = rows.to_vec();
            left.retain(|(_, id)| !order[..2].contains(id));
            left.push((if direction == "Ascending" { "A" } else { "z" }, 6));
            let second = page(&next, &left).unwrap();
            assert_eq!(second.items(), &order[2..4]);
            let token = second.token().unwrap().to_owned();
            next.pop();
            next.push(("page_token", &token));
            let third = page(&next, &left).unwrap();
            assert_eq!((third.items(), third.token()), (&order[4..], None));
        }
    }

    #[test]
    fn a_whole_list_by_id_pages_as_any_other() {
        let rows: Vec<Row> = (1..=7).map(|id| ("x", id)).collect();
        for asked in [
            &[][..],
            &[("limit", "3")],
            &[("limit", "3"), ("offset", "4")],
            &[("limit", "3"), ("offset", "9")],
            &[("paginated", "false")],
        ] {
            let (mut asked, mut token) = (asked.to_vec(), String::new());
            loop {
                let slow = page(&asked, &rows).unwrap();
                let walk: Walk<(), u32> = {
                    let parameters = Parameters::of(&asked);
                    let order = Order::of(&parameters, |_| None, "none").unwrap();
                    Walk::of("list", &parameters, order).unwrap()
                };
                assert!(walk.is_by_id());
                let pairs = rows.iter().map(|(_, id)| (*id, *id));
                let quick = walk.cut_by_id(rows.len(), pairs, |id| id);
                assert_eq!(quick.items(), slow.items(), "{asked:?}");
                assert_eq!(quick.token(), slow.token(), "{asked:?}");
                let Some(next) = quick.token() else { break };
                next.clone_into(&mut token);
                asked.retain(|(name, _)| *name == "limit");
                asked.push(("page_token", Box::leak(token.clone().into_boxed_str())));
            }
        }
    }

    #[test]
    fn a_token_is_refused_that_is_garbage_or_of_another_list_filter_or_order() {
        let rows = [("a", 1), ("b", 2)];
        let asked = [("sort_fields", "name"), ("limit", "1")];
        let token = page(&asked, &rows).unwrap().token().unwrap().to_owned();
        let with = |pairs: &[(&str, &str)], token: &str| {
            let mut all = pairs.to_vec();
            all.push(("page_token", token));
            page(&all, &rows).map(|page| page.items().to_vec())
        };
        assert_eq!(with(&asked, &token).unwrap(), [1]);
        assert!(with(&[("limit", "1")], &token).is_err(), "another order");
        assert!(with(&[asked[0], asked[1], ("offset", "1")], &token).is_err());
        let flipped = token.replace('6', "7");
        for garbage in [
            "",
            "0",
            "zz",
            "é",
            &token[2..],
            &token[..token.len() - 2],
            &flipped,
        ] {
            assert!(with(&asked, garbage).is_err(), "{garbage}");
        }
    }
}
