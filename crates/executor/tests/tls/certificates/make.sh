#!/bin/sh
# Makes the certificates of the tests anew, with OpenSSL, as docs/tls.md says and as a CA does. Nobody else is to use their keys, which are no
# secret.
set -eu
cd "$(dirname "$0")"
rm -f ./*.pem ./*.key
days=36500

# A certificate that its owner has signed, and that lists of peers have: NAME, SUBJECT-ALTERNATIVE-NAME.
own() {
    openssl req -x509 -newkey ed25519 -noenc -days "$days" -keyout "$1.key" -out "$1.pem" -subj "/CN=$1" \
        -addext "subjectAltName=$2"
}
own executor IP:127.0.0.1,DNS:localhost
own controller DNS:controller
own stranger DNS:stranger

# A CA: FILE, NAME.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days "$days" -keyout "$1.key" -out "$1.pem" \
        -subj "/CN=$2"
}
authority ca "a CA of tests"
authority twin "a CA of tests"
authority other "another CA of tests"

# A certificate of a CA's: FILE, CA, SUBJECT-ALTERNATIVE-NAME, PURPOSE, further options.
issue() {
    file=$1 ca=$2 name=$3 purpose=$4
    shift 4
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$file.key" -out request -subj "/CN=$file"
    printf '%s\n' "subjectAltName=$name" "extendedKeyUsage=$purpose" basicConstraints=CA:FALSE >extensions
    : >index
    openssl rand -hex 16 >serial
    openssl ca -batch -config /dev/stdin -name of_tests -cert "$ca.pem" -keyfile "$ca.key" -in request -out "$file.pem" -notext \
        -extfile extensions "$@" <<CONFIG
[of_tests]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = of_tests_policy
unique_subject = no
[of_tests_policy]
commonName = supplied
CONFIG
    rm -f request extensions index* serial* ./[0-9A-F]*.pem
}
server=IP:127.0.0.1,DNS:localhost
issue server ca "$server" serverAuth -days "$days"
issue server-elsewhere ca DNS:elsewhere.example serverAuth -days "$days"
issue server-expired ca "$server" serverAuth -startdate 20010101000000Z -enddate 20020101000000Z
issue server-other other "$server" serverAuth -days "$days"
issue client ca DNS:controller clientAuth -days "$days"
issue client-expired ca DNS:controller clientAuth -startdate 20010101000000Z -enddate 20020101000000Z
issue client-early ca DNS:controller clientAuth -startdate 29990101000000Z -enddate 30000101000000Z
issue client-other other DNS:controller clientAuth -days "$days"
issue client-twin twin DNS:controller clientAuth -days "$days"
# What the tests do not sign with.
rm -f ca.key twin.key other.key
chmod 644 ./*.key
