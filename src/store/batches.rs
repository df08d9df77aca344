//! Numbered batches, for what must be appended once and in order.

use std::future::Future;

use super::error::StoreError;
use crate::keys::Id;

/// The batches of one writer. A batch whose answer got lost is sent again as it
/// was and under its number, by which the store knows it.
pub struct BatchWriter<T> {
    writer: Id,
    number: u64,
    /// Sent, and not known to be written.
    sent: Option<Vec<T>>,
}

impl<T: Clone> BatchWriter<T> {
    /// A writer that the store has not met.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: there are no random numbers.
    pub fn new() -> Result<Self, StoreError> {
        Ok(Self {
            writer: Id::random().map_err(|error| StoreError::Failed(error.to_string()))?,
            number: 0,
            sent: None,
        })
    }

    /// Appends what `take` returns until that is nothing. May be dropped half
    /// way: the next call begins with the batch that was on its way.
    ///
    /// # Errors
    /// [`StoreError`]; the batch stays to be sent again.
    pub async fn write<F: Future<Output = Result<bool, StoreError>>>(
        &mut self,
        mut take: impl FnMut() -> Vec<T>,
        mut append: impl FnMut(Vec<T>, Id, u64) -> F,
    ) -> Result<(), StoreError> {
        loop {
            let batch = match &self.sent {
                Some(batch) => batch.clone(),
                None => {
                    let batch = take();
                    if batch.is_empty() {
                        return Ok(());
                    }
                    self.number += 1;
                    self.sent.insert(batch).clone()
                }
            };
            append(batch, self.writer, self.number).await?;
            self.sent = None;
        }
    }
}
