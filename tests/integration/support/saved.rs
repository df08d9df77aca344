//! What a Redis had on its disk at some moment: to have it lose what came after.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::RedisServer;

pub struct Saved(TempDir);

impl Saved {
    pub fn of(redis: &RedisServer) -> Self {
        let saved = tempfile::tempdir().unwrap();
        copy(&log_of(redis), saved.path());
        Self(saved)
    }

    /// SIGKILL, and a start over what was saved: a new history without the rest.
    pub fn restore(&self, redis: &mut RedisServer) {
        redis.kill();
        std::fs::remove_dir_all(log_of(redis)).unwrap();
        std::fs::create_dir(log_of(redis)).unwrap();
        copy(self.0.path(), &log_of(redis));
        redis.restart();
    }

    /// SIGKILL, and a start over nothing.
    pub fn lose_all(redis: &mut RedisServer) {
        redis.kill();
        std::fs::remove_dir_all(log_of(redis)).unwrap();
        redis.restart();
    }
}

fn log_of(redis: &RedisServer) -> PathBuf {
    redis.folder().join("appendonlydir")
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
