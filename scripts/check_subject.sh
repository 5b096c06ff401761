#!/bin/sh
# The commit-msg hook: refuse a subject of over 72 characters.
subject=$(head -n 1 "$1")
[ "${#subject}" -le 72 ] || {
    printf 'The subject has %s characters; the limit is 72:\n%s\n' "${#subject}" "$subject" >&2
    exit 1
}
