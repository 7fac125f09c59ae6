//! Mermaid flowcharts: <https://mermaid.js.org/syntax/flowchart.html>.

use super::{Action, Graph, Page, Pen, draw};

/// The flow as a Mermaid flowchart.
pub(in crate::flow) fn mermaid(graph: &Graph) -> String {
    let mut pen = Mermaid(Page { text: "flowchart TD\n".to_owned(), depth: 1 });
    pen.open("f", &graph.name, false);
    draw(&mut pen, graph, "");
    pen.close();
    pen.0.text
}

struct Mermaid(Page);

impl Pen for Mermaid {
    fn open(&mut self, id: &str, name: &str, batch: bool) {
        let note = if batch { " (for each)" } else { "" };
        self.0.line(&format!("subgraph {id}[\"{}{note}\"]", text(name)));
        self.0.depth += 1;
    }

    fn start(&mut self, id: &str) {
        self.0.line(&format!("{id}((\" \"))"));
    }

    fn node(&mut self, id: &str, name: &str) {
        self.0.line(&format!("{id}[\"{}\"]", text(name)));
    }

    fn end(&mut self, id: &str, label: &str) {
        self.0.line(&format!("{id}([\"{}\"])", text(label)));
    }

    fn edge(&mut self, from: &str, action: Option<&Action>, to: &str) {
        match action {
            Some(action) => self.0.line(&format!("{from} -->|\"{}\"| {to}", text(action.as_str()))),
            None => self.0.line(&format!("{from} --> {to}")),
        }
    }

    fn close(&mut self) {
        self.0.depth = self.0.depth.saturating_sub(1);
        self.0.line("end");
    }
}

/// Escapes text for use between double quotes.
///
/// Mermaid interprets Markdown, HTML and its own codes there (for example, `1. x` is a list), so all but
/// harmless characters become codes: `#<decimal>;`. An empty text would be a syntax error.
fn text(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    for (at, char) in raw.chars().enumerate() {
        let harmless = char.is_alphanumeric() || matches!(char, ' ' | '_' | ',' | ':' | '/');
        if harmless || (char == '-' && at > 0) {
            text.push(char);
        } else {
            text.push_str(&format!("#{};", u32::from(char)));
        }
    }
    if text.is_empty() { " ".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn plain_names_stay_readable() {
        assert_eq!(text("Überprüfe write_error, a-b"), "Überprüfe write_error, a-b");
    }

    #[test]
    fn mermaid_syntax_becomes_codes() {
        assert_eq!(text("a\"b"), "a#34;b");
        assert_eq!(text("#1;"), "#35;1#59;");
        assert_eq!(text("<b>|`x`\n"), "#60;b#62;#124;#96;x#96;#10;");
        assert_eq!(text("- 1. x"), "#45; 1#46; x");
        assert_eq!(text(""), " ");
    }
}
