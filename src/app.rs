//! Wires the floors together: the only file that knows them all.
