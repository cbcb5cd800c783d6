#!/bin/sh
# One of three nats-servers, with its passwords from files.
set -eu

secret() { cat "/run/secrets/$1"; }

NATTER_NATS_NODE_PASSWORD=$(secret nats_node_password)
NATTER_NATS_READER_PASSWORD=$(secret nats_reader_password)
NATTER_NATS_ROUTE_PASSWORD=$(secret nats_route_password)
route() { printf '"nats-route://natter:%s@%s:6222"' "$NATTER_NATS_ROUTE_PASSWORD" "$1"; }
NATTER_NATS_ROUTES="[$(route nats-1), $(route nats-2), $(route nats-3)]"
export NATTER_NATS_NODE_PASSWORD NATTER_NATS_READER_PASSWORD NATTER_NATS_ROUTE_PASSWORD NATTER_NATS_ROUTES
exec nats-server --config /etc/nats/cluster.conf
