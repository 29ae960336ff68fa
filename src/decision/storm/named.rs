//! Evidence and its consequences, case by case.
