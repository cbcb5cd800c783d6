#!/bin/sh
# Makes the bucket, as soon as SeaweedFS answers. `weed shell` exits with 0 whatever becomes of its commands, so what it tells counts.
set -eu

shell() { echo "$1" | weed shell -master=127.0.0.1:9333 2>&1; }
has_bucket() { shell s3.bucket.list | grep -Eq '(^|[[:space:]])natter([[:space:]]|$)'; }

until has_bucket; do
  shell 's3.bucket.create -name natter' || true
  sleep 1
done
echo "the bucket is there"
