//! `[source] snapshot`: chunks read a copy of the partition that stays as it is.
//!
//! The copy is made when the load begins, before the first chunk is read, and is read by every run of the load until
//! it is complete. It is dropped then, or by the next run.

use std::sync::Arc;

use super::LoadError;
use super::prepare::planned;
use super::publishing::drop_leftover_snapshots;
use super::request::LoadRequest;
use super::run::Load;
use crate::clickhouse::{TableName, table_schema};
use crate::job::BoundJob;
use crate::plan::PlanOptions;
use crate::publish::{PublishError, Snapshot};

impl Load {
    /// Lets chunks read the load's copy of the partition, which is made if there is none.
    pub(super) async fn take_snapshot(&mut self) -> Result<(), LoadError> {
        let LoadRequest { servers, job, .. } = &self.request;
        let Some(record) = self.record.as_ref().filter(|_| job.snapshot) else { return Ok(()) };
        if self.live_job.is_some() {
            // The copy that live writers need is read already.
            return Ok(());
        }
        let startup = self.request.startup_retry();
        let key = &record.load.key;
        drop_leftover_snapshots(&record.ledger, key, &servers.source, Some(&self.run_id)).await?;
        let connection = servers.source.clone();
        let (source, run_id) = (job.source.name.clone(), self.run_id.clone());
        let snapshot = Snapshot { connection: &connection, source: &source, run_id: &run_id };
        let asking = async || snapshot.is_made().await;
        if !startup.ask("asking for the copy of the source", asking).await? {
            if record.completed().next().is_some() {
                return Err(PublishError::SnapshotGone { table: snapshot.table() }.into());
            }
            let partition_id = &self.plan.scope.partition_id;
            let making = async || snapshot.make(partition_id).await;
            startup.ask("copying the partition of the source", making).await?;
        }
        if !self.read_copy(&snapshot.table()).await? {
            return Err(PublishError::SnapshotGone { table: snapshot.table() }.into());
        }
        // What the plan has taken from the source itself may have changed since.
        let bounds = Some(self.plan.bounds.clone());
        self.plan =
            planned(&self.request, &PlanOptions { bounds, ..self.request.plan.clone() }).await?;
        Ok(())
    }

    /// Lets everything that reads the source read this copy of it; `false` if it is not there.
    pub(super) async fn read_copy(&mut self, copy: &TableName) -> Result<bool, LoadError> {
        let LoadRequest { servers, job, .. } = &self.request;
        let reading = async || {
            let schema = table_schema(&servers.source, copy).await;
            schema.map_err(PublishError::of("reading", copy))
        };
        let startup = self.request.startup_retry();
        let Some(schema) = startup.ask("reading the copy of the source", reading).await? else {
            return Ok(false);
        };
        self.live_job = Some(Arc::clone(job));
        self.request.job = Arc::new(BoundJob { source: schema, ..(**job).clone() });
        self.rebuild_pipeline();
        Ok(true)
    }

    /// Drops the copies of a load that is complete. A failure is logged: the next run drops them.
    pub(super) async fn drop_snapshot(&self) {
        let Some(record) = self.record.as_ref().filter(|_| self.request.job.snapshot) else {
            return;
        };
        let (ledger, key) = (&record.ledger, &record.load.key);
        if let Err(error) =
            drop_leftover_snapshots(ledger, key, &self.request.servers.source, None).await
        {
            let error = crate::causes::error_chain(&error);
            tracing::warn!(
                error,
                "the copy that this load has read is left beside the source; the next run of the same load drops it"
            );
        }
    }
}
