//! Compiled programs by the digest of their content, always made from the text that is stored under it: ids of tasks
//! depend on the order of the text, and snapshots hold them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use trunkline_store::tables::workflow::definition;
use trunkline_store::{ReadError, Store};

use crate::program::{Format, Program, compile};

/// How many programs are kept in memory.
const KEPT: usize = 1_024;

/// Why a program cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The store did not answer.
    #[error("the definition cannot be read")]
    Read(#[from] ReadError),
    /// The text is gone, or this version of the program does not take it any more.
    #[error("the definition {hash} is not there or cannot be compiled")]
    Unusable {
        /// Its digest.
        hash: String,
    },
}

/// Hands out programs.
pub(crate) struct Programs {
    store: Store,
    known: Mutex<HashMap<String, Arc<Program>>>,
}

impl Programs {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// The program with a digest.
    pub(crate) async fn get(&self, hash: &str) -> Result<Arc<Program>, ProgramError> {
        if let Some(program) = self.known.lock().get(hash) {
            return Ok(Arc::clone(program));
        }
        let unusable = || ProgramError::Unusable { hash: hash.to_owned() };
        let text = definition::source_get(&self.store, hash).await?.ok_or_else(unusable)?;
        let compiled = tokio::task::spawn_blocking(move || compile(&text, Format::Yaml)).await;
        let program = Arc::new(compiled.map_err(|_| unusable())?.map_err(|_| unusable())?.program);
        let mut known = self.known.lock();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(hash.to_owned(), Arc::clone(&program));
        Ok(program)
    }
}
