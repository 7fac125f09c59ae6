//! S3, GCS and Azure behind pflow-store.
