//! Compiles the protos with protox, so that no `protoc` has to be installed.
//! Writes to `OUT_DIR` alone.

use std::error::Error;
use std::path::PathBuf;

const AGENT_PROTOS: [&str; 3] = [
    "mpi/v1/common.proto",
    "mpi/v1/command.proto",
    "mpi/v1/files.proto",
];

const ADMIN_PROTOS: [&str; 9] = [
    "muster/admin/v1/keys.proto",
    "muster/admin/v1/sessions.proto",
    "muster/admin/v1/gateways.proto",
    "muster/admin/v1/agents.proto",
    "muster/admin/v1/events.proto",
    "muster/admin/v1/tokens.proto",
    "muster/admin/v1/rejections.proto",
    "muster/admin/v1/audit.proto",
    "muster/admin/v1/settings.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let agent = protox::compile(AGENT_PROTOS, ["proto"])?;
    let admin = protox::compile(ADMIN_PROTOS, ["proto"])?;
    // Reflection serves the admin API alone: the agent listener has none.
    std::fs::write(
        out.join("admin_descriptors.bin"),
        prost::Message::encode_to_vec(&admin),
    )?;
    tonic_prost_build::configure()
        // tonic's own makes two buffers of 8 KiB for each call, and a session
        // is a call that stands.
        .codec_path("crate::proto::SmallCodec")
        .compile_fds(agent)?;
    tonic_prost_build::configure()
        // Secrets pass through these messages: a derived Debug would print them.
        .skip_debug([
            "muster.admin.v1.CreateKeyResponse",
            "muster.admin.v1.CreateTokenResponse",
        ])
        .compile_fds(admin)?;
    Ok(())
}
