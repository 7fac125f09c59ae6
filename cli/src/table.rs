//! Prints tables, most of all lists of workflows.

use pflow_store::{Entry, Query, Store};

use super::{documents::Listing, failure::Result, output::printable, session::Session, time, unreadable};

/// How many characters of a name or of tags a table shows.
const WIDEST: usize = 48;

const HEADER: [&str; 5] = ["ID", "GEN", "MODIFIED", "NAME", "TAGS"];

/// Prints the workflows that were found, or `none` if there are none. After them it prints the workflows that
/// cannot be read.
///
/// # Errors
/// Some workflows cannot be read.
pub(super) async fn answer(session: &Session<'_>, store: &Store, query: Query, none: &str) -> Result<()> {
    let (entries, unreadable) = session.reading(unreadable::apart(store.list(query))).await?;
    if entries.is_empty() && unreadable.is_empty() {
        session.output.note(none);
    }
    let cut = session.output.is_for_a_person();
    let rows = entries.iter().map(|entry| row(entry, cut));
    let mut lines: Vec<String> = if entries.is_empty() { Vec::new() } else { vec![table(HEADER, rows)] };
    lines.extend(unreadable::lines(&unreadable));
    session.answer(&lines.join("\n"), &Listing::of(&entries, &unreadable))?;
    unreadable::judge(&unreadable)
}

fn row(entry: &Entry, cut: bool) -> [String; 5] {
    let cell = |text: &str| shortened(&printable(text), if cut { WIDEST } else { usize::MAX });
    [
        entry.id.to_string(),
        entry.generation.to_string(),
        time::moment(entry.modified),
        cell(entry.name.as_deref().unwrap_or("-")),
        cell(&entry.tags.join(", ")),
    ]
}

fn shortened(text: &str, widest: usize) -> String {
    if text.chars().count() <= widest {
        return text.to_owned();
    }
    text.chars().take(widest - 1).chain(['…']).collect()
}

/// Formats a table with a header, without spaces at the ends of lines. Each character counts as one column.
pub(super) fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(header.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let row = |cells: [&str; 5]| cells.map(str::to_owned);
        let rows = [row(["a", "10", "x", "Über", "t"]), row(["longer", "2", "x", "-", ""])];
        assert_eq!(
            table(HEADER, rows.into_iter()),
            "ID      GEN  MODIFIED  NAME  TAGS\na       10   x         Über  t\nlonger  2    x         -"
        );
    }

    #[test]
    fn long_names_are_cut_for_people() {
        assert_eq!(shortened("äöüß", 3), "äö…");
        assert_eq!(shortened("äöü", 3), "äöü");
    }
}
