//! How errors name several things.

/// The first three, and how many more there are.
pub fn first_three(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(3);
    all.truncate(3);
    let named = all.join("; ");
    if more == 0 {
        return named;
    }
    format!("{named}; and {more} more")
}
