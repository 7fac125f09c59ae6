//! object_store's own suite.

use object_store::{Error, integration};

use super::sites;

macro_rules! passes {
    ($($name:ident($($argument:expr),*);)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for site in sites().await {
                integration::$name(&site.store $(, $argument)*).await;
            }
        }
    )*};
}

passes! {
    put_get_delete_list();
    put_opts(true);
    put_get_attributes();
    get_opts();
    stream_get();
    list_uses_directories_correctly();
    list_with_delimiter();
    list_with_offset_exclusivity();
    rename_and_copy();
    copy_if_not_exists();
    copy_rename_nonexistent_object();
    multipart_race_condition(true);
    multipart_out_of_order();
}

#[tokio::test]
async fn get_nonexistent_object() {
    for site in sites().await {
        let answer = integration::get_nonexistent_object(&site.store, None).await;
        assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn multipart() {
    for site in sites().await {
        integration::multipart(&site.store, &site.store).await;
        integration::multipart_put_part_out_of_order(&site.store, &site.store).await;
    }
}
