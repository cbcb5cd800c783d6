#!/bin/sh
# Waits until mongo-1 answers, then does the rest in its shell.
set -eu

here='mongodb://127.0.0.1/?directConnection=true&serverSelectionTimeoutMS=5000'
until mongosh "$here" --quiet --eval 'db.hello().ok' >/dev/null 2>&1; do
  sleep 1
done
exec mongosh "$here" --quiet --file /compose/mongo-init.js
