pub(super) fn compact(text: &str) -> String {
    text.to_owned()
}
