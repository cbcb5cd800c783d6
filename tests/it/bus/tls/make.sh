#!/bin/sh
# Makes the certificates of the tests anew, for a hundred years: an authority, a server and a client of it, and another authority.
set -eu
cd "$(dirname "$0")"
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 \
        -subj "/CN=$2" -keyout "$1.key" -out "$1.pem" -addext "keyUsage=critical,keyCertSign"
}
leaf() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
    printf 'basicConstraints=CA:FALSE\nsubjectAltName=%s\nextendedKeyUsage=%s\n' "$2" "$3" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -days 36500 -out "$1.pem" -extfile "$1.ext"
    rm "$1.csr" "$1.ext"
}
authority ca "natter test authority"
authority other "another authority"
leaf server IP:127.0.0.1,DNS:localhost serverAuth
leaf client DNS:natter clientAuth
rm -f ca.key other.key ca.srl
