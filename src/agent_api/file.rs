//! `mpi.v1.FileService`, as little of it as keeps an agent content: muster
//! manages registrations, not configuration files.

use std::pin::Pin;

use futures_util::stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::proto::mpi::v1 as mpi;
use crate::proto::mpi::v1::file_service_server::FileService;

/// Answers UpdateOverview with nothing to upload; all else is UNIMPLEMENTED.
pub(super) struct Files;

const NOT_MANAGED: &str = "muster does not manage configuration files";

#[tonic::async_trait]
impl FileService for Files {
    async fn get_overview(
        &self,
        _: Request<mpi::GetOverviewRequest>,
    ) -> Result<Response<mpi::GetOverviewResponse>, Status> {
        Err(Status::unimplemented(NOT_MANAGED))
    }

    async fn update_overview(
        &self,
        _: Request<mpi::UpdateOverviewRequest>,
    ) -> Result<Response<mpi::UpdateOverviewResponse>, Status> {
        Ok(Response::new(mpi::UpdateOverviewResponse::default()))
    }

    async fn get_file(
        &self,
        _: Request<mpi::GetFileRequest>,
    ) -> Result<Response<mpi::GetFileResponse>, Status> {
        Err(Status::unimplemented(NOT_MANAGED))
    }

    async fn update_file(
        &self,
        _: Request<mpi::UpdateFileRequest>,
    ) -> Result<Response<mpi::UpdateFileResponse>, Status> {
        Err(Status::unimplemented(NOT_MANAGED))
    }

    type GetFileStreamStream =
        Pin<Box<dyn Stream<Item = Result<mpi::FileDataChunk, Status>> + Send>>;

    async fn get_file_stream(
        &self,
        _: Request<mpi::GetFileRequest>,
    ) -> Result<Response<Self::GetFileStreamStream>, Status> {
        Err(Status::unimplemented(NOT_MANAGED))
    }

    async fn update_file_stream(
        &self,
        _: Request<Streaming<mpi::FileDataChunk>>,
    ) -> Result<Response<mpi::UpdateFileResponse>, Status> {
        Err(Status::unimplemented(NOT_MANAGED))
    }
}
