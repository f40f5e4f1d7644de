//! `findOneAndUpdate`, `findOneAndReplace` and `findOneAndDelete`.

use axum::http::StatusCode;

use super::write::decode_update;
use super::{ActionContext, ActionResponse, decode};
use crate::driver::write::{self, Modification};
use crate::gateway::api_error::ApiResult;
use crate::gateway::limits::memory::BatchKind;
use crate::gateway::request::{Change, FindOneAnd};

impl ActionContext<'_> {
    pub(super) async fn find_one_and(&self, call: &FindOneAnd<'_>) -> ApiResult<ActionResponse> {
        let mut given = self.command_options(&call.options)?;
        given.remove("maxTimeMS");
        for (name, document) in [("projection", call.projection), ("sort", call.sort)] {
            if let Some(document) = document {
                given.insert(name, decode(document)?);
            }
        }
        if !matches!(call.change, Change::Delete) {
            given.insert("upsert", call.upsert);
        }
        let modification = match call.change {
            Change::Update(update) => Modification::Update(decode_update(update)?),
            Change::Replace(replacement) => Modification::Replace(replacement.to_owned()),
            Change::Delete => Modification::Delete,
        };
        let call = write::FindOneAnd {
            filter: decode(call.filter)?,
            modification,
            after: call.new,
            max_time: Some(self.max_time(&call.options)),
            given,
            session: self.session.clone(),
        };
        let mut memory = self.gateway.memory.for_reply(&self.target.namespace, BatchKind::First).await?;
        let found = write::find_one_and(self.client, &self.target.namespace, call).await;
        let document = found.map_err(|error| self.error_response(&error))?;
        let size = document.as_ref().map_or(0, |document| document.as_bytes().len());
        memory.arrived_after_change(size, size);
        match self.document_body(document.as_deref()) {
            Ok(body) => Ok(ActionResponse::Complete(StatusCode::OK, body)),
            Err(mut error) => {
                error.body.error.push_str("; the change was made");
                Err(error)
            }
        }
    }
}
