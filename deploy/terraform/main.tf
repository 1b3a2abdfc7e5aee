# Doorward's resources with Terraform, over the admin API, by a provider for any REST API. A provider of Doorward's own
# would be generated from docs/admin-api.json.

terraform {
  required_providers {
    restapi = {
      source  = "Mastercard/restapi"
      version = "~> 2.0"
    }
  }
}

variable "admin_url" {
  type    = string
  default = "http://127.0.0.1:7301"
}

variable "key" {
  type      = string
  sensitive = true
}

provider "restapi" {
  uri                  = var.admin_url
  write_returns_object = true
  headers = {
    Authorization  = "Bearer ${var.key}"
    "Content-Type" = "application/json"
  }
}

# A portal: created, updated and read at one path, so its name is its id.
resource "restapi_object" "support" {
  path         = "/admin/v1/portals"
  object_id    = "support"
  create_method = "PUT"
  create_path  = "/admin/v1/portals/support"
  update_method = "PUT"
  data = jsonencode({
    portal = {
      description = "What the support team uses"
      tools       = ["sample/add", "sample/echo"]
    }
  })
}

resource "restapi_object" "alice" {
  path          = "/admin/v1/principals/user"
  object_id     = "alice"
  create_method = "PUT"
  create_path   = "/admin/v1/principals/user/alice"
  update_method = "PUT"
  data          = jsonencode({ tenant = "acme", teams = ["support"] })
}

# Everything of a folder, all or nothing: terraform_data runs `doorward apply` whenever a file of it changes.
resource "terraform_data" "resources" {
  triggers_replace = [for file in fileset("${path.module}/../gitops/resources", "*") :
  filesha256("${path.module}/../gitops/resources/${file}")]
  provisioner "local-exec" {
    command     = "doorward apply -f ${path.module}/../gitops/resources --admin-url ${var.admin_url} --yes"
    environment = { DOORWARD_KEY = var.key }
  }
}
