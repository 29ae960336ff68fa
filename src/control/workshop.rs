//! What control needs from the kinds of stores and from the data path, as `app.rs` wires them.
//!
//! Control doesn't know which kinds there are, where the file is, or how listeners are opened: it asks for the thing it
//! needs by name. All methods may block for file I/O; control calls them where that delays nothing.

use crate::{
    config::{Admin, Config, Service},
    route::Board,
    store::Store,
};
use std::sync::Arc;

/// What is ready and takes effect when this is called.
pub type Commit = Box<dyn FnOnce() + Send>;

/// Builds what a service needs, and opens it to applications.
pub trait Workshop: Send + Sync {
    /// Reads the configuration file and checks it wholly, or says one line a problem.
    fn load(&self) -> Result<Config, Vec<String>>;

    /// Builds the store of a service, with passwords and certificates as they are in the files now.
    fn store(&self, config: &Config, service: &Arc<Service>) -> Result<Arc<dyn Store>, String>;

    /// Opens a new service to applications: all of its listeners, or none and the reason. `reads` is the board of its read port,
    /// if it has one.
    fn open(&self, service: &Service, board: &Arc<Board>, reads: Option<&Arc<Board>>) -> Result<(), String>;

    /// Applies changed settings: listeners are added and closed, certificates read again; sessions stay. On an error
    /// nothing has changed.
    fn change(&self, service: &Service) -> Result<(), String>;

    /// Makes ready what changed of the operators' own listeners, certificates read again, and hands over what puts it in force:
    /// nothing has changed until then.
    fn admin(&self, admin: &Admin) -> Result<Commit, String>;

    /// Closes a service's listeners; its sessions end at their next safe point.
    fn close(&self, service: &Service);
}
