{{/* What all pods of this chart have in common. */}}

{{- define "natter.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
  {{- with .Values.podSecurityContext }}
  {{- if .fsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
automountServiceAccountToken: false
# Variables named after Services are none of natter's settings.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "natter.container" -}}
image: {{ include "natter.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Settings that every command of natter reads. Of (root, the Secret with the own values). */}}
{{- define "natter.env" -}}
{{- $root := index . 0 }}
{{- with $root.Values }}
- name: NATTER_DATA_DIR
  value: /var/lib/natter
{{- $plain := dict
  "MONGO_USER" .store.user
  "NATTER_BUS_USER" .bus.user
  "NATTER_MEDIA_URL" .media.url
  "NATTER_AUTH_ADMIN_EMAIL" .admin.email
  "NATTER_AUTH_ADMIN_USERNAME" .admin.username
}}
{{- if include "natter.isCluster" $root }}
{{- $plain = merge $plain (dict
  "NATTER_MEDIA_ENDPOINT" .media.endpoint
  "NATTER_MEDIA_PUBLIC_ENDPOINT" .media.publicEndpoint
  "NATTER_MEDIA_REGION" .media.region
  "NATTER_MEDIA_ADDRESSING" .media.addressing
  "NATTER_MEDIA_SERVE" .media.serve
) }}
{{- end }}
{{- range $name, $value := $plain }}
{{- if $value }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- include "natter.secretEnv" $ }}
{{- range $name, $value := .config }}
{{- if kindIs "map" $value }}
{{- range $inner, $value := $value }}
{{- include "natter.setting" (list (printf "%s_%s" $name $inner) $value) }}
{{- end }}
{{- else }}
{{- include "natter.setting" (list $name $value) }}
{{- end }}
{{- end }}
{{- with .extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/* A setting as natter's environment holds it. Numbers of values are floats here. Of (name, value). */}}
{{- define "natter.setting" -}}
{{- $value := index . 1 }}
{{- if kindIs "slice" $value }}{{ $value = join "," $value }}{{ end }}
{{- if kindIs "float64" $value }}{{ $value = int64 $value }}{{ end }}
- name: NATTER_{{ index . 0 | upper }}
  value: {{ $value | toString | quote }}
{{- end }}

{{- define "natter.mounts" -}}
- name: data
  mountPath: /var/lib/natter
{{- if include "natter.secretVolume" (list . "") }}
- name: secrets
  mountPath: /run/secrets/natter
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
