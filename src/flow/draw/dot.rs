//! Graphviz' DOT language: <https://graphviz.org/doc/info/lang.html>.

use super::{Action, Graph, Page, Pen, draw};

/// The flow in DOT.
pub(in crate::flow) fn dot(graph: &Graph) -> String {
    let mut pen = Dot(Page { text: "digraph {\n".to_owned(), depth: 1 });
    pen.0.line(&format!("label=\"{}\";", text(&graph.name)));
    pen.0.line("labelloc=t;");
    draw(&mut pen, graph, "");
    pen.close();
    pen.0.text
}

struct Dot(Page);

impl Pen for Dot {
    fn open(&mut self, id: &str, name: &str, batch: bool) {
        let note = if batch { " (for each)" } else { "" };
        // Graphviz draws a subgraph as a box only when its id begins with `cluster`.
        self.0.line(&format!("subgraph cluster_{id} {{"));
        self.0.depth += 1;
        self.0.line(&format!("label=\"{}{note}\";", text(name)));
    }

    fn start(&mut self, id: &str) {
        self.0.line(&format!("{id} [shape=point];"));
    }

    fn node(&mut self, id: &str, name: &str) {
        self.0.line(&format!("{id} [shape=box, label=\"{}\"];", text(name)));
    }

    fn end(&mut self, id: &str, label: &str) {
        self.0.line(&format!("{id} [shape=oval, label=\"{}\"];", text(label)));
    }

    fn edge(&mut self, from: &str, action: Option<&Action>, to: &str) {
        match action {
            Some(action) => {
                self.0.line(&format!("{from} -> {to} [label=\"{}\"];", text(action.as_str())));
            }
            None => self.0.line(&format!("{from} -> {to};")),
        }
    }

    fn close(&mut self) {
        self.0.depth = self.0.depth.saturating_sub(1);
        self.0.line("}");
    }
}

/// Escapes text for use between double quotes. In a label a backslash begins an escape; for example, `\N` is
/// the node's id.
fn text(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    for char in raw.chars() {
        match char {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => {}
            // Control characters are invalid for the parser and for the output formats.
            char if char.is_control() => text.push('\u{fffd}'),
            char => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn quotes_backslashes_and_lines_are_escaped() {
        assert_eq!(text("a \"b\" \\N\r\nc"), "a \\\"b\\\" \\\\N\\nc");
        assert_eq!(text("\0"), "\u{fffd}");
        assert_eq!(text("Überprüfe <b>"), "Überprüfe <b>");
    }
}
