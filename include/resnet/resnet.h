// Everything: what a program that trains or uses residual networks includes.
#pragma once

#include "resnet/data.h"
#include "resnet/engine.h"
#include "resnet/error.h"
#include "resnet/functional.h"
#include "resnet/graph.h"
#include "resnet/image_view.h"
#include "resnet/images.h"
#include "resnet/model_file.h"
#include "resnet/models.h"
#include "resnet/nn.h"
#include "resnet/optimizer.h"
#include "resnet/report.h"
#include "resnet/tensor.h"
#include "resnet/train.h"
#include "resnet/version.h"
