-- squawk-ignore-file
DROP TABLE api_keys;
