//! `countDocuments`, `estimatedDocumentCount` and `distinct`.

use axum::http::StatusCode;
use bson::{Bson, RawBsonRef, RawDocumentBuf, doc};

use super::write::write_count;
use super::{ActionContext, ActionResponse, decode};
use crate::codec::ejson::{self, Style};
use crate::driver::aggregate::{count, distinct, estimated_count};
use crate::error::Error;
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::limits::memory::BatchKind;
use crate::gateway::request::{Options, Query};

impl ActionContext<'_> {
    pub(super) async fn count_documents(&self, query: &Query<'_>) -> ApiResult<ActionResponse> {
        let mut given = self.reading_options(&query.options)?;
        for (name, number) in [("skip", query.skip), ("limit", query.limit.filter(|limit| *limit > 0))] {
            given.extend(number.map(|number| (name.to_owned(), Bson::Int64(i64::from(number)))));
        }
        let filter = query.filter.map(decode).transpose()?.unwrap_or_default();
        let counted = count(self.client, &self.target.namespace, filter, given, self.session.clone()).await;
        self.count_response(counted)
    }

    pub(super) async fn estimated_document_count(&self, options: &Options<'_>) -> ApiResult<ActionResponse> {
        let given = self.reading_options(options)?;
        self.count_response(estimated_count(self.client, &self.target.namespace, given).await)
    }

    pub(super) async fn distinct(&self, key: &str, query: &Query<'_>) -> ApiResult<ActionResponse> {
        let given = self.reading_options(&query.options)?;
        let filter = query.filter.map(decode).transpose()?.unwrap_or_default();
        let mut memory = self.gateway.memory.for_reply(&self.target.namespace, BatchKind::First).await?;
        let values = distinct(self.client, &self.target.namespace, key, filter, given, self.session.clone()).await;
        let values = values.map_err(|error| self.error_response(&error))?;
        let holder = RawDocumentBuf::try_from(&doc! { "values": values }).map_err(|_| ApiError::unreadable())?;
        let values = holder.get("values").ok().flatten().ok_or_else(ApiError::unreadable)?;
        let size = holder.as_bytes().len();
        // The decoded values, their BSON and their text.
        memory.arrived(2 * size, size).await?;
        Ok(ActionResponse::Held(memory.hold(self.values_body(values)?)?))
    }

    fn values_body(&self, values: RawBsonRef<'_>) -> ApiResult<Vec<u8>> {
        if self.style == Style::Canonical
            && let Some(name) = ejson::wrapper_in(values, 0)
        {
            return Err(ApiError::invalid(format!(
                "a value begins with the field {name}, which Extended JSON reads as another type: request \
                 application/json, or read it through the driver"
            )));
        }
        let mut body = br#"{"values":"#.to_vec();
        ejson::write_value(&mut body, values, self.style).map_err(|error| ApiError::invalid(error.message))?;
        body.push(b'}');
        Ok(body)
    }

    fn count_response(&self, counted: Result<u64, Error>) -> ApiResult<ActionResponse> {
        let mut body = br#"{"count":"#.to_vec();
        write_count(&mut body, counted.map_err(|error| self.error_response(&error))?, self.style)?;
        body.push(b'}');
        Ok(ActionResponse::Complete(StatusCode::OK, body))
    }
}
