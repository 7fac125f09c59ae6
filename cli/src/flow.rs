use clap::{Args, ValueEnum};
use pflow_store::{Store, flow::Drawing};

use super::{
    documents::{Drawings, Drawn},
    failure::{Failure, Result},
    session::Session,
};

const MORE: &str = "\
Needs no store. Paste Mermaid into Markdown, or turn DOT into a picture.

Examples:
  pflow-store flow save
  pflow-store flow save --format dot | dot -Tsvg > save.svg";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Flow {
    /// Which one; all without it
    name: Option<String>,

    /// The language of the drawing
    #[arg(long, value_enum, default_value_t = Format::Mermaid)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Mermaid,
    Dot,
}

impl Flow {
    /// Prints the drawings.
    pub(super) fn run(self, session: &Session<'_>) -> Result<()> {
        let mut drawings = Store::flows()?;
        if let Some(name) = &self.name {
            let known: Vec<String> = drawings.iter().map(|drawing| drawing.name.clone()).collect();
            drawings.retain(|drawing| drawing.name == *name);
            if drawings.is_empty() {
                let hint = format!("there are {}", known.join(", "));
                return Err(Failure::usage(format!("no flow is called {name:?}")).with_hint(hint));
            }
        }
        let (format, comment) = match self.format {
            Format::Mermaid => ("mermaid", "%%"),
            Format::Dot => ("dot", "//"),
        };
        let drawing = |drawing: &'_ Drawing| match self.format {
            Format::Mermaid => drawing.mermaid.clone(),
            Format::Dot => drawing.dot.clone(),
        };
        let texts: Vec<(&str, String)> =
            drawings.iter().map(|flow| (flow.name.as_str(), drawing(flow))).collect();
        let text = match texts.as_slice() {
            [(_, only)] => only.trim_end().to_owned(),
            many => many
                .iter()
                .map(|(name, text)| format!("{comment} {name}\n{}", text.trim_end()))
                .collect::<Vec<_>>()
                .join("\n\n"),
        };
        let flows = texts.iter().map(|(name, drawing)| Drawn { name, format, drawing }).collect();
        session.answer(&text, &Drawings { flows })
    }
}
