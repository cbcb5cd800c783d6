{{/*
Whether this is a cluster: "true", or nothing for one node that is complete in itself. What lies between is refused, for
nodes that share a database but no bus would not hear of each other.
*/}}
{{- define "natter.isCluster" -}}
{{- $missing := list }}
{{- range list "store" "bus" "media" }}
{{- $part := index $.Values . }}
{{- if not (or $part.url (dig "urlFrom" "name" "" $part)) }}
{{- $missing = append $missing (printf "%s.url" .) }}
{{- end }}
{{- end }}
{{- if not $missing }}true
{{- else if lt (len $missing) 3 }}
{{- fail (printf "a cluster needs store.url, bus.url and media.url, and a single node none of them: missing is %s" (join ", " $missing)) }}
{{- else if .Values.autoscaling.enabled }}
{{- fail "autoscaling needs a cluster: give store.url, bus.url and media.url" }}
{{- end }}
{{- end }}

{{- define "natter.anyAddress" -}}
{{ ternary "[::]" "0.0.0.0" .Values.ipv6 }}
{{- end }}
