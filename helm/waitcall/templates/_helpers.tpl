{{- define "waitcall.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Labels that select the objects of a component. Takes a list: context, component. */}}
{{- define "waitcall.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ default $.Chart.Name $.Values.nameOverride }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "waitcall.labels" -}}
{{- $ := index . 0 -}}
{{ include "waitcall.selector" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- with $.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "waitcall.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "waitcall.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "waitcall.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end -}}
{{- end }}

{{- define "waitcall.policyConfigMap" -}}
{{- default (printf "%s-policy" (include "waitcall.fullname" .)) .Values.policy.existingConfigMap -}}
{{- end }}

{{- define "waitcall.secretName" -}}
{{- required "secret.existingSecret: name the Secret that holds the credentials (README, section Secrets)." .Values.secret.existingSecret -}}
{{- end }}

{{- define "waitcall.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "waitcall.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{/*
Deployments that serve, as JSON. Each has its surface, its listener, the Services that select its pods, and its values: those of
`serve`, overridden by those of `api`, `public` or `page`.
*/}}
{{- define "waitcall.serving" -}}
{{- $ := . -}}
{{- $public := dict "container" 8081 "name" "callback" -}}
{{- $all := list
  (dict "name" "api" "surface" "api" "listener" (dict "container" 8080 "name" "api") "services" (ternary (list "api" "ops" "simulator") (list "api" "ops") $.Values.simulator.enabled) "own" $.Values.api)
  (dict "name" "public" "surface" "callback" "listener" $public "services" (list "callback" "ops") "own" $.Values.public)
-}}
{{- if $.Values.page.enabled -}}
{{- $all = append $all (dict "name" "page" "surface" "page" "listener" $public "services" (list "page" "ops") "own" (omit $.Values.page "enabled")) -}}
{{- end -}}
{{- range $all -}}
{{- $scaling := dict "autoscaling" (deepCopy $.Values.autoscaling) "podDisruptionBudget" (deepCopy $.Values.podDisruptionBudget) -}}
{{- $_ := set . "own" (mergeOverwrite (deepCopy $.Values.serve) $scaling .own) -}}
{{- end -}}
{{- toJson $all -}}
{{- end }}

{{/*
Settings of a component that come from the Secret, as JSON: key of the Secret by name of the setting. Takes a list: context, component.
Pods that strangers reach get no API keys, no SMSC account and no webhook secrets.
*/}}
{{- define "waitcall.secretSettings" -}}
{{- $ := index . 0 -}}
{{- $keys := $.Values.secret.keys -}}
{{- $all := dict "REDIS_URL" $keys.redisUrl "SMSC_APIKEY" $keys.smscApikey "SMSC_LOGIN" $keys.smscLogin "SMSC_PASSWORD" $keys.smscPassword "SMSRU_API_ID" $keys.smsruApiId "CALLBACK_SECRETS" $keys.callbackSecrets "API_KEYS" $keys.apiKeys "KEY_PEPPER" $keys.keyPepper "KEY_PEPPER_OTHER" $keys.keyPepperOther "WEBHOOK_SECRETS" $keys.webhookSecrets -}}
{{- $all = merge $all (dict "REDIS_USERNAME" $keys.redisUsername "REDIS_PASSWORD" $keys.redisPassword "REDIS_SENTINEL_USERNAME" $keys.redisSentinelUsername "REDIS_SENTINEL_PASSWORD" $keys.redisSentinelPassword "REDIS_KEY_PASSWORD" $keys.redisKeyPassword) -}}
{{- if has (index . 1) (list "public" "page") -}}
{{- $all = omit $all "SMSC_APIKEY" "SMSC_LOGIN" "SMSC_PASSWORD" "API_KEYS" "WEBHOOK_SECRETS" -}}
{{- end -}}
{{- $named := dict -}}
{{- range $setting, $key := $all }}{{- if $key }}{{- $_ := set $named $setting $key }}{{- end }}{{- end -}}
{{- toJson $named -}}
{{- end }}

{{/* Public paths and their Services, as JSON. */}}
{{- define "waitcall.publicPaths" -}}
{{- $paths := list (dict "path" "/callbacks/smsc" "type" "Exact" "service" "callback") -}}
{{- if .Values.secret.keys.smsruApiId }}{{- $paths = append $paths (dict "path" "/callbacks/smsru" "type" "Exact" "service" "callback") }}{{- end -}}
{{- if .Values.settings.publicUrl }}{{- $paths = append $paths (dict "path" "/p" "type" "Prefix" "service" (ternary "page" "callback" .Values.page.enabled)) }}{{- end -}}
{{- toJson $paths -}}
{{- end }}

{{/* Files of the Secret with certificates for Redis, as JSON: key of the Secret by name of the setting. */}}
{{- define "waitcall.redisTls" -}}
{{- $named := dict -}}
{{- if .Values.redisTls.existingSecret -}}
{{- $keys := .Values.redisTls.keys -}}
{{- range $setting, $key := dict "REDIS_CA" $keys.ca "REDIS_CERT" $keys.cert "REDIS_KEY" $keys.key }}{{- if $key }}{{- $_ := set $named $setting $key }}{{- end }}{{- end -}}
{{- end -}}
{{- toJson $named -}}
{{- end }}

{{/* Environment variables of a pod. Takes a list: context, component. */}}
{{- define "waitcall.env" -}}
{{- $ := index . 0 -}}
{{- range $setting, $key := fromJson (include "waitcall.secretSettings" .) }}
- name: WAITCALL_{{ $setting }}_FILE
  value: /run/waitcall/secrets/{{ $key }}
{{- end }}
{{- range $setting, $key := fromJson (include "waitcall.redisTls" $) }}
- name: WAITCALL_{{ $setting }}
  value: /run/waitcall/redis-tls/{{ $key }}
{{- end }}
{{- with $.Values.secret.keys.certificateAuthorities }}
- name: SSL_CERT_FILE
  value: /run/waitcall/secrets/{{ . }}
{{- end }}
{{- $settings := $.Values.settings }}
{{- $plain := list
  (list "SMSC_URLS" (ternary "http://127.0.0.1:8082/sys" (join "," $settings.smscUrls) $.Values.simulator.enabled))
  (list "SMSC_TIMEOUT_SECONDS" $settings.smscTimeoutSeconds)
  (list "SMSRU_URL" $settings.smsruUrl)
  (list "SMSRU_TIMEOUT_SECONDS" $settings.smsruTimeoutSeconds)
  (list "CALLBACK_HASH" $settings.callbackHash)
  (list "POLICY" "/run/waitcall/policy/policy.toml")
  (list "PUBLIC_URL" $settings.publicUrl)
  (list "PAGE_LOCALES" $settings.pageLocales)
  (list "WINDOW_SECONDS" $settings.windowSeconds)
  (list "INBOX_POLL_SECONDS" (ternary 0 $settings.inboxPollSeconds $.Values.simulator.enabled))
  (list "INBOX_ASSURANCE" $settings.inboxAssurance)
  (list "LOW_BALANCE" $settings.lowBalance)
  (list "REDIS_MIN_REPLICAS" $settings.redisMinReplicas)
  (list "TRUSTED_HOSTS" (join "," $settings.trustedHosts))
  (list "TRUSTED_HOPS" $settings.trustedHops)
  (list "WORKERS" $settings.workers)
  (list "DRAIN_SECONDS" $settings.drainSeconds)
  (list "MAX_ORDERS" $settings.maxOrders)
  (list "MAX_WAITING" $settings.maxWaiting)
  (list "LOG_LEVEL" $settings.logLevel)
  (list "TRACING" $settings.tracing)
  (list "API_BIND" "0.0.0.0:8080")
  (list "CALLBACK_BIND" "0.0.0.0:8081")
  (list "OPS_BIND" "0.0.0.0:9090")
  (list "WORKER_OPS_BIND" "0.0.0.0:9091")
}}
{{- range $plain }}
- name: WAITCALL_{{ index . 0 }}
  value: {{ index . 1 | toString | quote }}
{{- end }}
{{- end }}

{{- define "waitcall.volumeMounts" -}}
- name: secrets
  mountPath: /run/waitcall/secrets
  readOnly: true
- name: policy
  mountPath: /run/waitcall/policy
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- if .Values.redisTls.existingSecret }}
- name: redis-tls
  mountPath: /run/waitcall/redis-tls
  readOnly: true
{{- end }}
{{- end }}

{{/* Volumes of a pod. Takes a list: context, component. */}}
{{- define "waitcall.volumes" -}}
{{- $ := index . 0 -}}
- name: secrets
  secret:
    secretName: {{ include "waitcall.secretName" $ }}
    defaultMode: 0440
    items:
      {{- range $setting, $key := fromJson (include "waitcall.secretSettings" .) }}
      - {key: {{ $key }}, path: {{ $key }}}
      {{- end }}
      {{- with $.Values.secret.keys.certificateAuthorities }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
- name: policy
  configMap:
    name: {{ include "waitcall.policyConfigMap" $ }}
# The processes of a pod keep their metrics here.
- name: tmp
  emptyDir:
    medium: Memory
    sizeLimit: 64Mi
{{- if $.Values.redisTls.existingSecret }}
- name: redis-tls
  secret:
    secretName: {{ $.Values.redisTls.existingSecret }}
    defaultMode: 0440
    items:
      {{- range $setting, $key := fromJson (include "waitcall.redisTls" $) }}
      - {key: {{ $key }}, path: {{ $key }}}
      {{- end }}
{{- end }}
{{- end }}

{{/* Scheduling of pods. Takes a list: context, component, values of the component. */}}
{{- define "waitcall.placement" -}}
{{- $ := index . 0 -}}{{- $component := index . 1 -}}{{- $own := index . 2 -}}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "waitcall.selector" (list $ $component) | nindent 8 }}
  {{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Labels and annotations of a pod. Takes a list: context, component, values of the component, port of metrics, Services that select the pod. */}}
{{- define "waitcall.podMetadata" -}}
{{- $ := index . 0 -}}{{- $component := index . 1 -}}{{- $own := index . 2 -}}{{- $port := index . 3 -}}
labels:
  {{- include "waitcall.labels" (list $ $component) | nindent 2 }}
  {{- range index . 4 }}
  waitcall.dev/{{ . }}: "true"
  {{- end }}
  {{- with $own.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: waitcall
  {{- if not $.Values.policy.existingConfigMap }}
  checksum/policy: {{ include "waitcall.policy" $ | sha256sum }}
  {{- end }}
  {{- if $.Values.metrics.annotations }}
  prometheus.io/scrape: "true"
  prometheus.io/port: {{ $port | quote }}
  prometheus.io/path: /metrics
  {{- end }}
  {{- with $own.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "waitcall.policy" -}}
{{- default (.Files.Get "files/policy.toml") .Values.policy.text -}}
{{- end }}

