{{/* The pod of a node, the same for one that is alone and for those of a cluster. */}}
{{- define "natter.nodePod" -}}
{{- $isCluster := include "natter.isCluster" . }}
{{- $any := include "natter.anyAddress" . }}
metadata:
  labels:
    {{- include "natter.nodeSelector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: natter
    # A secret of this chart that changes makes new pods; of one that exists only its owner knows.
    checksum/secrets: {{ include "natter.secrets" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "natter.podSecurity" . | nindent 2 }}
  serviceAccountName: {{ include "natter.serviceAccount" . }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $isCluster }}
  {{- with include "natter.spread" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- end }}
  # SIGTERM begins the drain: for 5 s the node only says that it is not ready, so no preStop hook has to wait.
  terminationGracePeriodSeconds: {{ .Values.drain.graceSeconds }}
  containers:
    - name: natter
      {{- include "natter.container" . | nindent 6 }}
      args: [serve]
      env:
        - name: NATTER_LISTEN
          value: {{ printf "%s:8080" $any | quote }}
        - name: NATTER_METRICS_LISTEN
          value: {{ ternary (printf "%s:9464" $any) "off" .Values.metrics.enabled | quote }}
        - name: NATTER_DRAIN_GRACE
          value: {{ printf "%ds" (int .Values.drain.graceSeconds) }}
        {{- if $isCluster }}
        - name: NATTER_INTERNAL_LISTEN
          value: {{ printf "%s:9465" $any | quote }}
        - name: POD_IP
          valueFrom:
            fieldRef:
              fieldPath: status.podIP
        - name: NATTER_ADVERTISE_URL
          value: {{ printf "http://%s:9465" (ternary "[$(POD_IP)]" "$(POD_IP)" .Values.ipv6) | quote }}
        {{- end }}
        {{- include "natter.env" (list . (include "natter.fullname" .)) | trim | nindent 8 }}
      ports:
        - name: http
          containerPort: 8080
        {{- if .Values.metrics.enabled }}
        - name: metrics
          containerPort: 9464
        {{- end }}
        {{- if $isCluster }}
        - name: internal
          containerPort: 9465
        {{- end }}
      # It lives as soon as it listens, also while it waits for its store: that may take as long as it takes.
      startupProbe:
        httpGet:
          path: /livez
          port: http
        periodSeconds: 1
        timeoutSeconds: 2
        failureThreshold: 120
      livenessProbe:
        httpGet:
          path: /livez
          port: http
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      # The store has 2 s to answer. Two misses in a row, so that one slow answer takes nobody out of the round.
      readinessProbe:
        httpGet:
          path: /readyz
          port: http
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 2
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- include "natter.mounts" . | nindent 8 }}
  {{- $volumes := include "natter.nodeVolumes" . | trim }}
  {{- if $volumes }}
  volumes:
    {{- $volumes | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "natter.nodeVolumes" -}}
{{- with .Values.persistence }}
{{- if or (include "natter.isCluster" $) (not .enabled) }}
- name: data
  emptyDir: {}
{{- else if .existingClaim }}
- name: data
  persistentVolumeClaim:
    claimName: {{ .existingClaim }}
{{- end }}
{{- end }}
{{- include "natter.secretVolume" (list . (include "natter.fullname" .)) }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "natter.spread" -}}
{{- with .Values.topologySpread }}
{{- if or .zone .node }}
topologySpreadConstraints:
  {{- range $key, $unsatisfiable := dict "topology.kubernetes.io/zone" .zone "kubernetes.io/hostname" .node }}
  {{- if $unsatisfiable }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: {{ $unsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "natter.nodeSelector" $ | nindent 8 }}
    # Those of the version that goes do not count for the one that comes.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
