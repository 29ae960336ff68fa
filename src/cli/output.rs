//! Standard output for every subcommand: a reader that went away (`pointsman history | head`) ends the printing, not the
//! process, so that the exit code still tells what came of an order.

use std::io::Write;

/// Prints at once; false when nobody reads any more.
pub(super) fn show(text: std::fmt::Arguments<'_>) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_fmt(text).and_then(|()| out.flush()).is_ok()
}

/// `println!` for a reader that may be gone.
macro_rules! say {
    ($($argument:tt)*) => {{
        $crate::cli::output::show(format_args!("{}\n", format_args!($($argument)*)));
    }};
}
pub(super) use say;
