#!/bin/sh
# Makes each secret that is missing, readable for its owner alone, and hands volumes to whom they belong.
set -eu
umask 077

NATTER=65532:65532 MONGO=999:999 NATS=65532:65532 S3=65532:65532 GRAFANA=472:0

# 48 hex digits behind a letter: nats-server takes what begins with a digit for a number.
random() {
  printf 'n'
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

# keep OWNER FILE: what comes in, unless the file is there. It appears whole or not at all.
keep() {
  if [ ! -s "/secrets/$2" ]; then
    cat >"/secrets/$2.new"
    chmod 0400 "/secrets/$2.new"
    chown "$1" "/secrets/$2.new"
    mv "/secrets/$2.new" "/secrets/$2"
    echo "made $2"
  fi
}

random | keep $NATTER natter/secret_key

# What two know has its first copy where it is checked.
random | keep $MONGO mongo/mongo_key
random | keep $MONGO mongo/root_password
random | keep $MONGO mongo/mongo_password
keep $NATTER natter/mongo_password </secrets/mongo/mongo_password

random | keep $NATS nats/nats_node_password
random | keep $NATS nats/nats_reader_password
random | keep $NATS nats/nats_route_password
keep $NATTER natter/nats_node_password </secrets/nats/nats_node_password

random | keep $NATTER natter/s3_access_key_id
random | keep $NATTER natter/s3_secret_access_key
keep $S3 s3/s3.json <<END
{"identities": [{
  "name": "natter",
  "credentials": [{
    "accessKey": "$(cat /secrets/natter/s3_access_key_id)",
    "secretKey": "$(cat /secrets/natter/s3_secret_access_key)"
  }],
  "actions": ["Read:natter", "Write:natter", "List:natter", "Tagging:natter"]
}]}
END

random | keep $GRAFANA grafana/grafana_password

chown $NATTER /secrets/natter
chown $MONGO /secrets/mongo
chown $NATS /secrets/nats
chown $S3 /secrets/s3 /data/s3
chown $GRAFANA /secrets/grafana
