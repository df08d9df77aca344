//! What a request says: its namespace, its query, its body; checked strictly,
//! for a parameter that is silently ignored is worse than a refusal.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::{ApiError, ErrorCause};
use crate::admin_api::state::AdminState;
use crate::keys::{DEFAULT_NAMESPACE, KeyId, Revision};

/// The greatest number of a parameter: the greatest `int64`.
const MAX_NUMBER: usize = i64::MAX as usize;

/// The path of a list, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what the extractors read")]
pub(super) struct Namespaced {
    /// The only one is `default`.
    namespace: String,
}

/// The path of one row, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what the extractors read")]
pub(super) struct One {
    /// The only one is `default`.
    namespace: String,
    /// The row's id.
    id: String,
}

/// Of which key, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the extractors read")]
pub(super) struct OfKey {
    /// Only those of this key.
    key_object_id: Option<String>,
}

/// The path of a list.
#[derive(Deserialize)]
struct InNamespace {
    namespace: String,
}

/// The namespace of the path, which exists.
pub(super) struct Namespace;

impl FromRequestParts<AdminState> for Namespace {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, ApiError> {
        let found = Path::<InNamespace>::from_request_parts(parts, state).await;
        let Path(InNamespace { namespace }) = found.map_err(|_| ErrorCause::NoSuchRoute)?;
        if namespace == DEFAULT_NAMESPACE {
            Ok(Self)
        } else {
            Err(ErrorCause::NoSuchNamespace(namespace).into())
        }
    }
}

/// The path of one row.
#[derive(Deserialize)]
struct OneOf {
    id: String,
}

/// The id that the path names, in an existing namespace.
pub(super) struct RowId(pub String);

impl FromRequestParts<AdminState> for RowId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, ApiError> {
        Namespace::from_request_parts(parts, state).await?;
        let found = Path::<OneOf>::from_request_parts(parts, state).await;
        let Path(OneOf { id }) = found.map_err(|_| ErrorCause::NoSuchRoute)?;
        Ok(Self(id))
    }
}

/// The key that the path names. One that can't exist does not.
pub(super) struct Key(pub KeyId);

impl FromRequestParts<AdminState> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, ApiError> {
        let RowId(id) = RowId::from_request_parts(parts, state).await?;
        let key = id.parse::<KeyId>();
        let key = key.map_err(|error| ErrorCause::NotFound(format!("object_id: {error}")))?;
        Ok(Self(key))
    }
}

/// The revision that an edit is of.
pub(super) struct IfMatch(pub Option<Revision>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut tags = parts.headers.get_all(IF_MATCH).iter();
        let (tag, more) = (tags.next(), tags.next());
        let Some(tag) = tag else {
            return Ok(Self(None));
        };
        let text = tag.to_str().ok().filter(|_| more.is_none());
        if text.map(str::trim) == Some("*") {
            return Ok(Self(None));
        }
        let quoted = text.and_then(|text| text.trim().strip_prefix('"')?.strip_suffix('"'));
        let revision = quoted.and_then(|number| number.parse().ok());
        let rule = "must be * or the one ETag of the key's GET, with its quotes";
        let revision = revision.ok_or_else(|| ErrorCause::invalid("If-Match", rule))?;
        Ok(Self(Some(Revision(revision))))
    }
}

/// The parameters after the `?`.
pub(super) struct Parameters(Vec<(String, String)>);

impl FromRequestParts<AdminState> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, ApiError> {
        let found = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) =
            found.map_err(|error| ErrorCause::invalid("query", error.body_text()))?;
        Ok(Self(pairs))
    }
}

impl Parameters {
    /// Refuses a parameter that is not among `known`.
    pub fn only(self, known: &[&str]) -> Result<Self, ApiError> {
        match self
            .0
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            None => Ok(self),
            Some((name, _)) => {
                let rule = format!("no such parameter; there are {}", known.join(", "));
                Err(ErrorCause::invalid(&shown(name), rule).into())
            }
        }
    }

    /// Those that are not called `names`, in order.
    pub fn but<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.0.iter();
        let all = all.map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(|(name, _)| !names.contains(name))
    }

    /// The value of one that may be there once.
    pub fn one(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(ErrorCause::invalid(name, "given twice; give it once").into()),
        }
    }

    /// The values of one that may be repeated, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_name = self.0.iter().filter(move |(given, _)| given == name);
        of_name.map(|(_, value)| value.as_str())
    }

    /// A key's id that may be there once.
    pub fn key(&self, name: &str) -> Result<Option<KeyId>, ApiError> {
        let parsed = self.one(name)?.map(str::parse).transpose();
        parsed.map_err(|error| ErrorCause::invalid(name, error).into())
    }

    /// An agent's id that may be there once.
    pub fn agent(&self, name: &str) -> Result<Option<Uuid>, ApiError> {
        let parsed = self.one(name)?.map(Uuid::try_parse).transpose();
        parsed.map_err(|_| ErrorCause::invalid(name, "must be a UUID").into())
    }

    /// A number that may be there once.
    pub fn number(&self, name: &str, least: usize) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        match text.parse() {
            // Not all that fits here: `int64`, as the document has it, ends there.
            Ok(number) if (least..=MAX_NUMBER).contains(&number) => Ok(Some(number)),
            _ => {
                let rule = format!("must be a whole number from {least} to {MAX_NUMBER}");
                Err(ErrorCause::invalid(name, rule).into())
            }
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.one(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(ErrorCause::invalid(name, "must be true or false").into()),
        }
    }
}

/// Refuses any parameter.
pub(super) struct NoParameters;

impl FromRequestParts<AdminState> for NoParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, ApiError> {
        let parameters = Parameters::from_request_parts(parts, state).await?;
        parameters.only(&[]).map(|_| Self)
    }
}

#[cfg(test)]
impl Parameters {
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self(pairs.iter().map(owned).collect())
    }
}

/// The request's body, JSON of exactly these fields.
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AdminState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, ApiError> {
        let read = axum::Json::<T>::from_request(request, state).await;
        match read {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(error) => Err(ErrorCause::invalid("body", why(&error)).into()),
        }
    }
}

fn why(error: &JsonRejection) -> String {
    match error {
        // The cause alone: it names the field.
        JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_) => {
            let mut cause: &dyn std::error::Error = error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            shown(&cause.to_string())
        }
        JsonRejection::MissingJsonContentType(_) => {
            "not told to be JSON; send content-type: application/json".into()
        }
        other => other.body_text(),
    }
}

/// Words of the caller in an answer to the caller, bounded.
fn shown(text: &str) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() {
        text.push_str("(empty)");
    }
    text
}
