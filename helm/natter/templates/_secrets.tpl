{{/*
The secrets that are given, as a JSON list. Each is a value of this chart (in a Secret of its own) or `from` one that
exists, and reaches natter by a variable (`env`) or by a file that a variable names (`file`).
*/}}
{{- define "natter.secrets" -}}
{{- $v := .Values }}
{{- $none := dict "name" "" "key" "" }}
{{- $all := list
  (dict "key" "secret_key" "file" "SECRET_KEY_FILE" "value" (include "natter.secretKey" .) "from" $v.secretKey.from)
  (dict "key" "secret_key_previous" "file" "SECRET_KEY_PREVIOUS_FILE" "value" $v.secretKey.previous "from" $v.secretKey.previousFrom)
  (dict "key" "store_url" "env" "NATTER_STORE_URL" "value" $v.store.url "from" $v.store.urlFrom)
  (dict "key" "store_password" "file" "MONGO_PASSWORD_FILE" "value" $v.store.password "from" $v.store.passwordFrom)
  (dict "key" "bus_url" "env" "NATTER_BUS_URL" "value" $v.bus.url "from" $v.bus.urlFrom)
  (dict "key" "bus_password" "file" "NATTER_BUS_PASSWORD_FILE" "value" $v.bus.password "from" $v.bus.passwordFrom)
  (dict "key" "bus_token" "file" "NATTER_BUS_TOKEN_FILE" "value" $v.bus.token "from" $v.bus.tokenFrom)
  (dict "key" "bus_nkey" "file" "NATTER_BUS_NKEY_FILE" "value" "" "from" $v.bus.nkeyFrom)
  (dict "key" "bus_credentials" "file" "NATTER_BUS_CREDENTIALS_FILE" "value" "" "from" $v.bus.credentialsFrom)
  (dict "key" "bus_ca" "file" "NATTER_BUS_CA_FILE" "value" "" "from" $v.bus.tls.caFrom)
  (dict "key" "bus_certificate" "file" "NATTER_BUS_CERTIFICATE_FILE" "value" "" "from" $v.bus.tls.certificateFrom)
  (dict "key" "bus_key" "file" "NATTER_BUS_KEY_FILE" "value" "" "from" $v.bus.tls.keyFrom)
  (dict "key" "media_access_key_id" "env" "AWS_ACCESS_KEY_ID" "value" $v.media.accessKeyId "from" $v.media.accessKeyIdFrom)
  (dict "key" "media_secret_access_key" "env" "AWS_SECRET_ACCESS_KEY" "value" $v.media.secretAccessKey "from" $v.media.secretAccessKeyFrom)
  (dict "key" "admin_password" "file" "NATTER_AUTH_ADMIN_PASSWORD_FILE" "value" $v.admin.password "from" $v.admin.passwordFrom)
}}
{{- $given := list }}
{{- range $all }}
{{- if .from.name }}
{{- $given = append $given (set (omit . "value") "own" false) }}
{{- else if .value }}
{{- $given = append $given (set . "own" true) }}
{{- end }}
{{- end }}
{{- toJson $given }}
{{- end }}

{{/*
The key that tokens are signed with. Nodes of a cluster share one: if none is given it is made at the first install and
taken from there ever after. A node that is alone makes one itself, in its volume.
*/}}
{{- define "natter.secretKey" -}}
{{- $secret := .Values.secretKey }}
{{- if or $secret.value $secret.from.name (not (include "natter.isCluster" .)) }}
{{- $secret.value }}
{{- else }}
{{- if not (get $secret "made") }}
{{- $before := lookup "v1" "Secret" .Release.Namespace (include "natter.fullname" .) }}
{{- $kept := dig "data" "secret_key" "" $before | b64dec }}
{{- /* Kept for the rest of this rendering: all that asks has to get the same. */}}
{{- $_ := set $secret "made" (default (randAlphaNum 64) $kept) }}
{{- end }}
{{- get $secret "made" }}
{{- end }}
{{- end }}

{{/* The data of a Secret with all values that are this chart's own. */}}
{{- define "natter.secretData" -}}
{{- range include "natter.secrets" . | fromJsonArray }}
{{- if .own }}
{{ .key }}: {{ .value | b64enc | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Variables with secrets, and those that name the files with them. Of (root, the Secret with the own values). */}}
{{- define "natter.secretEnv" -}}
{{- $own := index . 1 }}
{{- range include "natter.secrets" (index . 0) | fromJsonArray }}
- name: {{ get . "env" | default (get . "file") }}
{{- if get . "env" }}
  valueFrom:
    secretKeyRef:
      name: {{ ternary $own .from.name .own }}
      key: {{ ternary .key .from.key .own }}
{{- else }}
  value: /run/secrets/natter/{{ .key }}
{{- end }}
{{- end }}
{{- end }}

{{/* The volume with the files, if there are any. Of (root, the Secret with the own values). */}}
{{- define "natter.secretVolume" -}}
{{- $own := index . 1 }}
{{- $sources := list }}
{{- range include "natter.secrets" (index . 0) | fromJsonArray }}
{{- if get . "file" }}
{{- $item := dict "key" (ternary .key .from.key .own) "path" .key }}
{{- $sources = append $sources (dict "secret" (dict "name" (ternary $own .from.name .own) "items" (list $item))) }}
{{- end }}
{{- end }}
{{- if $sources }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- toYaml $sources | nindent 6 }}
{{- end }}
{{- end }}
