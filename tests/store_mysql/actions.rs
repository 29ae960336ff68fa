//! Single actions.
