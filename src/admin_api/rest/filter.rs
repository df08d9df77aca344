//! Filters and orders as the contract has them: parallel arrays.

use std::cmp::Ordering;

use super::error::{ApiError, ErrorCause};
use super::params::Parameters;

/// The parameters of an order.
pub(super) const ORDER: [&str; 2] = ["sort_fields", "sort_dir"];
/// Characters of one element of `filter_values` (the contract's number).
const MAX_VALUES: usize = 1_024;

/// The parameters of filters and orders, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what is read below")]
pub(super) struct Asked {
    /// Fields that are filtered by; the three arrays go together.
    filter_fields: Option<Vec<String>>,
    /// For each field `IN`.
    filter_ops: Option<Vec<String>>,
    /// For each field the values that are wanted, joined by `|`; 1,024 characters
    /// at most.
    filter_values: Option<Vec<String>>,
    /// Fields that are sorted by, the first first.
    sort_fields: Option<Vec<String>>,
    /// `Ascending` or `Descending`, the default.
    sort_dir: Option<String>,
}

/// The parameters of an order, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Order::of` reads")]
pub(super) struct Sorted {
    /// Fields that are sorted by, the first first.
    sort_fields: Option<Vec<String>>,
    /// `Ascending` or `Descending`, the default.
    sort_dir: Option<String>,
}

/// What rows have to be: for each field one of its values.
#[derive(Debug, Default)]
pub(super) struct Filter<F> {
    wanted: Vec<(F, Vec<String>)>,
}

impl<F: Copy> Filter<F> {
    /// The filters of a request; `field` knows the fields that there are, which
    /// are called `names`.
    pub fn of(
        parameters: &Parameters,
        field: impl Fn(&str) -> Option<F>,
        names: &str,
    ) -> Result<Self, ApiError> {
        let fields: Vec<&str> = parameters.all("filter_fields").collect();
        let ops: Vec<&str> = parameters.all("filter_ops").collect();
        let values: Vec<&str> = parameters.all("filter_values").collect();
        if fields.len() != ops.len() || fields.len() != values.len() {
            let rule = format!(
                "filter_fields, filter_ops and filter_values go together; {}, {} and {} were given",
                fields.len(),
                ops.len(),
                values.len()
            );
            return Err(ErrorCause::invalid("filter_fields", rule).into());
        }
        let mut wanted = Vec::with_capacity(fields.len());
        for ((name, op), joined) in fields.into_iter().zip(ops).zip(values) {
            let field = field(name)
                .ok_or_else(|| ErrorCause::invalid("filter_fields", format!("must be {names}")))?;
            if op != "IN" {
                return Err(ErrorCause::invalid("filter_ops", "must be IN").into());
            }
            if joined.chars().count() > MAX_VALUES {
                let rule = format!("an element has {MAX_VALUES} characters at most");
                return Err(ErrorCause::invalid("filter_values", rule).into());
            }
            wanted.push((field, joined.split('|').map(str::to_owned).collect()));
        }
        Ok(Self { wanted })
    }

    /// Whether every row is left.
    pub fn is_any(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Whether a row is left; `value` reads one of its fields.
    pub fn takes<'a>(&self, value: impl Fn(F) -> std::borrow::Cow<'a, str>) -> bool {
        self.wanted.iter().all(|(field, values)| {
            let value = value(*field);
            values.iter().any(|wanted| *wanted == value)
        })
    }
}

/// The order of a list: by these fields, the first first.
#[derive(Debug)]
pub(super) struct Order<F> {
    fields: Vec<F>,
    descending: bool,
}

impl<F: Copy> Order<F> {
    /// The order of a request; no fields: as the list is.
    pub fn of(
        parameters: &Parameters,
        field: impl Fn(&str) -> Option<F>,
        names: &str,
    ) -> Result<Self, ApiError> {
        let mut fields = Vec::new();
        for name in parameters.all("sort_fields").flat_map(|all| all.split(',')) {
            let known = field(name);
            let unknown = || ErrorCause::invalid("sort_fields", format!("must be {names}"));
            fields.push(known.ok_or_else(unknown)?);
        }
        let descending = match parameters.one("sort_dir")? {
            None | Some("Descending") => true,
            Some("Ascending") => false,
            Some(_) => {
                return Err(
                    ErrorCause::invalid("sort_dir", "must be Ascending or Descending").into(),
                );
            }
        };
        Ok(Self { fields, descending })
    }

    /// The fields, the first first.
    pub fn fields(&self) -> impl Iterator<Item = F> {
        self.fields.iter().copied()
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// The order of two rows of which the fields say `ascending`.
    pub fn directed(&self, ascending: Ordering) -> Ordering {
        match self.descending {
            true => ascending.reverse(),
            false => ascending,
        }
    }
}
